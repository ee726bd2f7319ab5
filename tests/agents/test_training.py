"""Trainings end after the asked number of steps, also those that were interrupted."""

import csv
import dataclasses

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from silot_gym.agents import training
from silot_gym.agents.run import AgentRun
from silot_gym.agents.training import EPISODE_COLUMNS, EpisodeLog, train
from tests.agents import toy
from tests.agents.toy import small_config


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Toys in the place of games."""
    monkeypatch.setattr(training, "make_envs", toy.make_envs)


def go(config, run, **kwargs):
    return train(
        config, run, eval_every=80, eval_episodes=1, save_every=80, progress=False, **kwargs
    )


def lines(run):
    with run.episodes_file.open() as file:
        return list(csv.DictReader(file))


def interrupt_after(steps, monkeypatch):
    """Trainings are interrupted as by Ctrl-C."""
    log = EpisodeLog._on_step

    def on_step(callback):
        log(callback)
        if callback.num_timesteps >= steps:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(EpisodeLog, "_on_step", on_step)


EVERY_20 = [str(steps) for steps in range(20, 401, 20) for _ in range(2)]
"""Both lanes end an episode of ten steps each time."""


@pytest.mark.parametrize("algo", ["ppo", "a2c", "dqn"])
def test_a_training_leaves_the_agent_and_its_episodes(algo, tmp_path):
    config, run = small_config(algo), AgentRun(tmp_path / "run")
    agent = go(config, run)
    assert agent.num_timesteps == 400
    assert run.config() == config
    rows = lines(run)
    assert tuple(rows[0]) == EPISODE_COLUMNS
    assert [row["steps"] for row in rows] == EVERY_20
    assert {row["length"] for row in rows} == {"10"}
    # Not clipped, and not normalised.
    assert [float(row["return"]) for row in rows[:4]] == [10, 20, 10, 20]
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert not run.checkpoints.exists()

    loaded = run.load(toy.make_envs(config, 2, 0))
    observations = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    actions = [a.predict(observations, deterministic=True)[0] for a in (agent, loaded)]
    np.testing.assert_array_equal(*actions)


def test_tensorboard_shows_returns_and_evaluations(tmp_path):
    run = AgentRun(tmp_path / "run")
    go(small_config(), run)
    (folder,) = run.folder.glob("tensorboard*")
    events = EventAccumulator(str(folder)).Reload()
    evaluations = events.Scalars("eval/mean_reward")
    assert [(event.step, event.value) for event in evaluations] == [
        (steps, 10) for steps in (80, 160, 240, 320, 400)
    ]
    assert events.Scalars("rollout/ep_rew_mean")[-1].value == 15


@pytest.mark.parametrize("algo", ["ppo", "a2c", "dqn"])
def test_an_interrupted_training_goes_on_from_the_last_save(algo, tmp_path, monkeypatch):
    config, run = small_config(algo), AgentRun(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_after(310, patch)
        with pytest.raises(KeyboardInterrupt):
            go(config, run)
    assert run.saved_steps() == [240, 160, 80]
    assert not run.agent_file.exists()
    with run.episodes_file.open("a") as file:
        file.write("32")  # half a line of a process that was killed
    before = lines(run)[:24]

    agent = go(config, run, resume=True)
    assert agent.num_timesteps == 400
    assert [row["steps"] for row in lines(run)] == EVERY_20
    assert lines(run)[:24] == before
    seconds = [float(row["seconds"]) for row in lines(run)]
    assert seconds == sorted(seconds)
    assert len(list(run.folder.glob("tensorboard*"))) == 1


def test_learning_rate_falls_on_where_it_was(tmp_path, monkeypatch):
    config, run = small_config(), AgentRun(tmp_path / "run")
    whole = go(config, AgentRun(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        interrupt_after(310, patch)
        with pytest.raises(KeyboardInterrupt):
            go(config, run)
    resumed = go(config, run, resume=True)
    rates = [a.policy.optimizer.param_groups[0]["lr"] for a in (whole, resumed)]
    assert rates[0] == rates[1] < config.settings.learning_rate / 10


def test_a_training_without_a_save_starts_again(tmp_path, monkeypatch):
    config, run = small_config(), AgentRun(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_after(70, patch)
        with pytest.raises(KeyboardInterrupt):
            go(config, run)
    assert len(lines(run)) == 6
    assert go(config, run, resume=True).num_timesteps == 400
    assert [row["steps"] for row in lines(run)] == EVERY_20


def test_rewards_are_scaled_as_before_the_interruption(tmp_path, monkeypatch):
    config, run = small_config(), AgentRun(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_after(310, patch)
        with pytest.raises(KeyboardInterrupt):
            go(config, run)
    agent = go(config, run, resume=True)
    # Counted are two rewards in each step; the count starts at a ten-thousandth.
    assert agent.get_vec_normalize_env().ret_rms.count == pytest.approx(400 + 1e-4)


def test_a_finished_training_is_left_as_it_is(tmp_path):
    config, run = small_config(), AgentRun(tmp_path / "run")
    go(config, run)
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    go(config, run, resume=True)
    assert {f: f.read_bytes() for f in run.folder.rglob("*") if f.is_file()} == before


def test_a_folder_that_is_not_free_is_refused(tmp_path):
    run = AgentRun(tmp_path)
    (tmp_path / "something").touch()
    with pytest.raises(ValueError, match="already holds a run: pass --resume"):
        go(small_config(), run)
    with pytest.raises(ValueError, match=r"expected a run of agents/train.py, found no .*json"):
        go(small_config(), run, resume=True)
    assert [file.name for file in tmp_path.iterdir()] == ["something"]


def test_other_settings_are_not_resumed(tmp_path):
    run = AgentRun(tmp_path)
    config = small_config()
    run.config_file.write_text(config.to_json())
    other = dataclasses.replace(small_config(gamma=0.5), steps=500)
    with pytest.raises(ValueError) as caught:
        go(other, run, resume=True)
    assert "expected steps=400, gamma=0.99, got steps=500, gamma=0.5:" in str(caught.value)
    with pytest.raises(ValueError, match=r"expected algo='ppo'.* got algo='a2c'"):
        go(small_config("a2c"), run, resume=True)


def test_nothing_is_written_for_settings_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size"):
        go(small_config(batch_size=1), AgentRun(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
