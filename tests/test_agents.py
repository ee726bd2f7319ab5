import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def program(name, *arguments):
    """Runs one of the programs in agents/ as a user does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "agents" / name), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


def test_an_agent_trains_on_slots_and_is_filmed(tiny_checkpoint, tmp_path):
    out = tmp_path / "agent"
    arguments = ["--game", "breakout", "--checkpoint", tiny_checkpoint, "--out", out]
    arguments += ["--steps", 256, "--envs", 2, "--eval-episodes", 2, "--seed", 5, "--no-progress"]
    done = program("train.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and done.stdout.startswith("Breakout on slots: return ")

    evaluation = json.loads((out / "evaluation.json").read_text())
    assert "train.py --game breakout" in evaluation["command"]
    assert evaluation["trained_steps"] == 256 and evaluation["episodes"] == 2
    returns = evaluation["returns"]
    assert len(returns) == 2 and evaluation["mean_return"] == sum(returns) / 2
    assert json.loads((out / "args.json").read_text())["seed"] == 5
    assert (out / "agent.zip").is_file() and list(out.glob("tensorboard*/events*"))

    again = program("evaluate.py", "--run", out, "--episodes", 2, "--video")
    assert again.returncode == 0, again.stderr
    assert json.loads((out / "evaluation.json").read_text())["returns"] == returns
    assert (out / "video.mp4").stat().st_size > 1000


def test_an_agent_trains_on_pixels(tmp_path):
    arguments = ["--game", "Breakout", "--obs", "pixels", "--out", tmp_path, "--steps", 100]
    done = program("train.py", *arguments, "--envs", 1, "--eval-episodes", 1)
    assert done.returncode == 0, done.stderr
    assert "128step" in done.stderr.replace(" ", "")  # the progress bar
    assert json.loads((tmp_path / "evaluation.json").read_text())["obs"] == "pixels"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--game": "SpaceInvader"}, "closest are SpaceInvaders"),
        ({"--steps": 0}, "expected --steps of at least 1, got 0"),
        ({"--eval-episodes": -1}, "expected --eval-episodes of at least 1, got -1"),
        ({"--checkpoint": "nothing-here"}, "expected a checkpoint's folder or one of"),
        ({"--obs": "pixels"}, "expected no --checkpoint with --obs pixels"),
        ({"--out": __file__}, "File exists"),
    ],
)
def test_wrong_arguments_end_training_with_one_line(
    changed, message, tiny_checkpoint, tmp_path, monkeypatch, capsys
):
    arguments = {"--game": "Pong", "--checkpoint": tiny_checkpoint, "--out": tmp_path / "agent"}
    pairs = [str(part) for pair in (arguments | changed).items() for part in pair]
    # In this process, because a new one spends seconds on imports.
    monkeypatch.setattr(sys, "argv", ["agents/train.py", *pairs])
    monkeypatch.syspath_prepend(ROOT / "agents")
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "agents" / "train.py"), run_name="__main__")
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert output.err.startswith("error: ") and message in output.err
    assert output.err.count("\n") == 1 and output.out == ""
    assert not (tmp_path / "agent").exists()


def test_evaluation_without_an_agent_ends_with_one_line(tmp_path):
    done = program("evaluate.py", "--run", tmp_path)
    assert done.returncode == 2
    assert "found no" in done.stderr and done.stderr.count("\n") == 1
