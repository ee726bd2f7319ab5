"""The programs for agents: run as users run them, but with little to do."""

import csv
import dataclasses
import importlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from silot_gym.agents.config import AgentConfig
from silot_gym.agents.envs import make_envs
from silot_gym.agents.run import AgentRun, build
from silot_gym.baselines import component_vec_wrapper
from silot_gym.commands import plot
from silot_gym.commands import train_agent as train

ROOT = Path(__file__).parents[2]
SMALL = {
    "ppo": ("n_steps=16", "batch_size=32", "n_epochs=1", "net_arch=[8]"),
    "a2c": ("n_steps=8", "net_arch=[8]"),
    "dqn": ("learning_starts=32", "buffer_size=256", "batch_size=8", "net_arch=[8]"),
}
"""Settings with which algorithms have little to compute."""


def program(name, *arguments):
    """Runs one of the programs as a user does, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "agents" / name), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


def arguments(out, algo="ppo", **changes):
    values = {"game": "breakout", "steps": 192, "envs": 2, "seed": 5, "eval_episodes": 2}
    return train.Args(out=out, algo=algo, set=SMALL[algo], progress=False, **values | changes)


@pytest.fixture(scope="module")
def finished(typed_checkpoint, tmp_path_factory):
    """A run on slots, trained by the program, and what the program had to say."""
    out = tmp_path_factory.mktemp("runs") / "agent"
    options = ["--game", "breakout", "--checkpoint", typed_checkpoint, "--out", out]
    options += ["--steps", 192, "--envs", 2, "--eval-episodes", 2, "--seed", 5]
    done = program("train.py", *options, "--set", *SMALL["ppo"], "--no-progress")
    return out, done


def test_an_agent_trains_on_slots(finished, typed_checkpoint):
    out, done = finished
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("Breakout on slots: return ") and done.stdout.count("\n") == 1

    evaluation = json.loads((out / "evaluation.json").read_text())
    assert "train.py --game breakout" in evaluation["command"]
    assert evaluation["trained_steps"] == 192 and evaluation["episodes"] == 2
    returns = evaluation["returns"]
    assert len(returns) == 2 and evaluation["mean_return"] == sum(returns) / 2
    config = AgentRun(out).config()
    assert config.game == "Breakout" and config.seed == 5
    assert config.checkpoint == str(typed_checkpoint.resolve())
    assert config.settings.n_steps == 16 and config.settings.net_arch == (8,)
    assert (out / "agent.zip").is_file() and list(out.glob("tensorboard*/events*"))
    assert (out / "episodes.csv").read_text().startswith("steps,return,length,seconds")
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize(
    ("obs", "view", "algo"),
    [("slots", "attention", "dqn"), ("components", "deepset", "a2c"), ("pixels", None, "ppo")],
)
def test_agents_of_all_kinds_train(
    obs, view, algo, typed_checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(component_vec_wrapper, "TYPE_FRAMES", 150)
    component_vec_wrapper.component_types.cache_clear()
    checkpoint = {"slots": str(typed_checkpoint)}.get(obs)
    # By default, the folder is named for what it holds.
    monkeypatch.chdir(tmp_path)
    given = arguments(None, algo, obs=obs, view=view, checkpoint=checkpoint)
    # Long enough for episodes of the training to end, where these are looked at.
    pixels = obs == "pixels"
    train.main(dataclasses.replace(given, steps=512 if pixels else 128, progress=pixels))
    component_vec_wrapper.component_types.cache_clear()
    out = tmp_path / "runs" / f"Breakout-{obs}-{algo}-5"
    assert json.loads((out / "evaluation.json").read_text())["obs"] == obs
    assert list(out.glob("tensorboard*/events*"))
    shown = capsys.readouterr()
    assert f"Breakout on {obs}: return " in shown.out
    if not pixels:
        assert shown.err == ""
        return
    bars = (shown.out + shown.err).replace(" ", "")
    assert "512/512" in bars and "evaluation:100%" in bars
    episodes = list(csv.DictReader((out / "episodes.csv").open()))
    # Five lives of a game take some dozens of the agent's steps each.
    assert episodes and all(100 < int(row["length"]) < 400 for row in episodes)


def ends_with(name, options, monkeypatch, capsys):
    """The line with which a program ends.

    It runs in this process, because a new one spends seconds on imports.
    """
    monkeypatch.setattr(sys, "argv", [f"agents/{name}", *map(str, options)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "agents" / name), run_name="__main__")
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert output.err.startswith("error: ") and output.err.count("\n") == 1
    assert output.out == ""
    return output.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--game", "SpaceInvader"], "closest are SpaceInvaders"),
        (["--steps", 0], "expected --steps of at least 1, got 0"),
        (["--envs", 0], "expected --envs of at least 1, got 0"),
        (["--eval-episodes", 1], "expected --eval-episodes of at least 2, got 1"),
        (["--eval-every", 0], "expected --eval-every of at least 1, got 0"),
        (["--device", "abacus"], "abacus"),
        (["--checkpoint", "nothing-here"], "expected a checkpoint's folder or one of"),
        (["--obs", "pixels", "--checkpoint", "Pong"], "expected no --checkpoint with --obs pixels"),
        (["--obs", "pixels", "--view", "vector"], "expected no --view with --obs pixels"),
        (["--set", "gama=1"], "expected --set name=value with one of"),
        (["--set", "gamma=0.9", "n_steps=many"], "expected --set n_steps=128 or another int"),
        (["--set", "n_steps=0"], "expected n_steps of at least 1, got 0"),
        (["--set", "batch_size=1"], "expected other settings of ppo"),
        (["--out", __file__], "Not a directory"),
        (["--resume"], "expected a run of agents/train.py, found no"),
    ],
)
def test_wrong_arguments_end_training_with_one_line(
    options, message, typed_checkpoint, tmp_path, monkeypatch, capsys
):
    given = ["--game", "Pong", "--out", tmp_path / "agent"]
    if "--obs" not in options:
        given += ["--checkpoint", typed_checkpoint]
    assert message in ends_with("train.py", given + options, monkeypatch, capsys)
    assert not (tmp_path / "agent").exists()


def test_a_checkpoint_without_types_ends_training_with_one_line(
    tiny_checkpoint, tmp_path, monkeypatch, capsys
):
    for view in ("vector", "deepset"):
        options = ["--game", "Pong", "--checkpoint", tiny_checkpoint, "--view", view]
        options += ["--out", tmp_path / "agent"]
        line = ends_with("train.py", options, monkeypatch, capsys)
        assert "checkpoint with types of objects" in line
        assert not (tmp_path / "agent").exists()


def test_a_folder_with_a_run_is_refused_and_only_the_same_run_resumed(
    finished, typed_checkpoint, capsys
):
    out, _ = finished
    same = arguments(out, checkpoint=str(typed_checkpoint))
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match="already holds a run: pass --resume"):
        train.main(same)
    other = dataclasses.replace(same, steps=300, resume=True)
    with pytest.raises(ValueError, match="expected steps=192, got steps=300"):
        train.main(other)
    # This one is finished, and evaluated again.
    train.main(dataclasses.replace(same, resume=True))
    after = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    evaluation = out / "evaluation.json"
    returns = [json.loads(files.pop(evaluation))["returns"] for files in (before, after)]
    assert after == before and returns[0] == returns[1]


def test_an_interrupted_training_is_resumed(tmp_path, capsys):
    given = arguments(tmp_path / "agent", obs="pixels", steps=160)
    changes = {"obs": "pixels", "view": None, "checkpoint": None, "algo": "ppo", "steps": 160}
    config = AgentConfig.resolve("Breakout", changes=SMALL["ppo"], envs=2, seed=5, **changes)
    # As if it had been killed behind a save.
    unfinished = AgentRun(tmp_path / "agent")
    unfinished.checkpoints.mkdir(parents=True)
    unfinished.config_file.write_text(config.to_json())
    envs = make_envs(config, 2, 5)
    build(config, envs, "cpu").save(unfinished.checkpoints / "agent_128_steps.zip")
    envs.close()
    with pytest.raises(ValueError, match="already holds a run"):
        train.main(given)
    train.main(dataclasses.replace(given, resume=True))
    assert unfinished.agent_file.is_file() and not unfinished.checkpoints.exists()
    (events,) = unfinished.folder.glob("tensorboard*")
    steps = EventAccumulator(str(events)).Reload().Scalars("time/fps")
    assert [event.step for event in steps] == [160]
    assert "after 160 steps" in capsys.readouterr().out


@pytest.fixture
def evaluate():
    return importlib.import_module("silot_gym.commands.evaluate_agent")


def test_evaluation_plays_the_same_games_again(finished, evaluate, capsys):
    out, _ = finished
    capsys.readouterr()
    evaluate.main(evaluate.Args(out, episodes=2, json=True, progress=False))
    figures = json.loads(capsys.readouterr().out)
    assert figures["returns"] == json.loads((out / "evaluation.json").read_text())["returns"]
    evaluate.main(evaluate.Args(out, episodes=2, seed=1, progress=False))
    assert capsys.readouterr().out.startswith("Breakout on slots: return ")


def test_evaluation_films_and_explains(finished, evaluate, tmp_path, capsys):
    out, _ = finished
    video, saliency = tmp_path / "game.mp4", tmp_path / "saliency.png"
    given = evaluate.Args(out, episodes=2, video=video, video_frames=20, progress=False)
    evaluate.main(dataclasses.replace(given, saliency=saliency))
    assert video.stat().st_size > 1000
    with Image.open(saliency) as picture:
        assert picture.width > 160


def test_wrong_arguments_end_evaluation_with_one_line(finished, tmp_path, monkeypatch, capsys):
    def line(*options):
        return ends_with("evaluate.py", options, monkeypatch, capsys)

    assert "found no" in line("--run", tmp_path)
    out, _ = finished
    assert "expected at least 2 episodes" in line("--run", out, "--episodes", 1)
    missing = tmp_path / "nothing" / "game.mp4"
    assert "expected a folder for game.mp4" in line("--run", out, "--video", missing)


def write_run(folder, **changes):
    """A run with two episodes."""
    config = AgentConfig(**{"game": "Pong", "checkpoint": "Pong"} | changes)
    folder.mkdir()
    run = AgentRun(folder)
    run.config_file.write_text(config.to_json())
    run.episodes_file.write_text(
        "steps,return,length,seconds,cpu_seconds\n100,-21,50,10,8\n200,-19,50,20,16\n"
    )
    return folder


def test_curves_have_a_line_for_each_kind_of_agent(tmp_path, monkeypatch, capsys):
    runs = [
        write_run(tmp_path / "a", seed=1),
        write_run(tmp_path / "b", seed=2),
        write_run(tmp_path / "c", view="attention"),
        write_run(tmp_path / "d", obs="pixels", checkpoint=None),
        write_run(tmp_path / "e", steps=7),
    ]
    lines = {}
    draw = plot.plot_curves

    def see(groups, *rest):
        lines.update(groups)
        draw(groups, *rest)

    monkeypatch.setattr(plot, "plot_curves", see)
    plot.main(plot.Args(tuple(runs), tmp_path / "curves.png"))
    assert {name: [run.folder.name for run in group] for name, group in lines.items()} == {
        "slots, ppo": ["a", "b"],
        "slots (attention), ppo": ["c"],
        "pixels, ppo": ["d"],
        "slots, ppo, e": ["e"],
    }
    assert capsys.readouterr().out == f"curves: {tmp_path / 'curves.png'}\n"
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width == 1200


def test_wrong_arguments_end_plotting_with_one_line(tmp_path, monkeypatch, capsys):
    pong, breakout = write_run(tmp_path / "p"), write_run(tmp_path / "b", game="Breakout")

    def line(*options):
        given = ["--out", tmp_path / "curves.png", *options]
        return ends_with("plot.py", given, monkeypatch, capsys)

    assert "of one game, got ['Breakout', 'Pong']" in line("--runs", pong, breakout)
    assert "expected a run of agents/train.py" in line("--runs", tmp_path)
    (pong / "episodes.csv").unlink()
    assert "found no" in line("--runs", pong)
    assert not (tmp_path / "curves.png").exists()
