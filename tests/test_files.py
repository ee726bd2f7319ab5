import os
import subprocess
import sys
from pathlib import Path

import pytest

from silot_gym.files import one_writer, read_plain, write_atomically

HOLDS = """
import sys, time
from pathlib import Path
from silot_gym.files import one_writer, write_atomically
with one_writer(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_folder_has_one_writer_until_its_process_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    with pytest.raises(BlockingIOError, match="another process is writing in"), one_writer(folder):
        pass
    holder.kill()
    holder.wait()
    with one_writer(tmp_path / "other" / "folder"):
        pass
    assert not (tmp_path / "other" / "folder").exists()
    with one_writer(folder):
        (folder / "a").touch()
    with one_writer(folder):
        assert (folder / "a").exists()


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    mine = tmp_path / "notes.unfinished"
    mine.write_text("mine")

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        os._exit(9)

    child = os.fork()
    if child == 0:
        os.replace = kill  # type: ignore[assignment]
        write_atomically(tmp_path / "a", b"half")
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 2 and not (tmp_path / "a").exists()
    with one_writer(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {"notes.unfinished", ".lock"}


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    plain, pipe, link = tmp_path / "plain", tmp_path / "pipe", tmp_path / "link"
    plain.write_bytes(b"12345")
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    (tmp_path / "same").symlink_to(plain)
    assert read_plain(plain, 5) == read_plain(tmp_path / "same", 5) == b"12345"
    for other in (pipe, link, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is no plain file"):
            read_plain(other, 5)
    with pytest.raises(IsADirectoryError):
        read_plain(tmp_path, 5)
    with pytest.raises(FileNotFoundError, match="No such file"):
        read_plain(tmp_path / "none", 5)
    with pytest.raises(ValueError, match="at most 4 bytes, got 5"):
        read_plain(plain, 4)
