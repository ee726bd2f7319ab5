"""How programs end: in one line, whatever ends them."""

import subprocess
import sys
from pathlib import Path

import pytest

from silot_gym.programs import run

PROGRAM = """
from silot_gym.programs import require, run
require("train")
import os, signal, sys
from dataclasses import dataclass

@dataclass
class Args:
    how: str

def main(args):
    if args.how == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    if args.how == "no reader":
        for _ in range(100_000):
            print("a line that nobody reads")
    if args.how == "no stderr":
        sys.stderr.close()
        raise ValueError("nobody hears of this")
    if args.how == "too large":
        bytearray(2**62)

if len(sys.argv) > 3:
    raise KeyboardInterrupt  # while other modules are imported
run(main, Args)
"""


def start(*options: str, **pipes: int) -> "subprocess.Popen[str]":
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | pipes
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *options], text=True, **pipes)


@pytest.mark.parametrize(
    ("how", "status", "line"),
    [
        ("terminated", 143, "terminated"),
        ("no stderr", 2, ""),
        ("too large", 2, "error: there is too little memory"),
    ],
)
def test_one_line_and_a_status(how: str, status: int, line: str) -> None:
    program = start("--how", how)
    out, err = program.communicate()
    assert (program.returncode, out, err.strip()) == (status, "", line)


def test_a_reader_who_leaves_ends_a_program_quietly() -> None:
    program = start("--how", "no reader")
    assert program.stdout is not None and program.stderr is not None
    program.stdout.readline()
    program.stdout.close()
    assert program.stderr.read() == ""
    assert program.wait() == 1


def test_ctrl_c_during_imports_is_one_line() -> None:
    program = start("--how", "imports", "now")
    assert program.communicate()[1].strip() == "interrupted"
    assert program.returncode in (-2, 130)


def test_errors_of_the_system_say_which_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_: Path) -> None:
        (tmp_path / "none").read_text()

    with pytest.raises(SystemExit) as ended:
        run(main, Path, ["."])
    assert ended.value.code == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
