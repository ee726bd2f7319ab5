"""Configurations of agents: what a command line makes of them, and their JSON."""

import dataclasses
import json
from pathlib import Path

import pytest

from silot_gym.agents.config import AgentConfig, changed, default_folder
from silot_gym.agents.settings import DQNSettings, PPOSettings
from silot_gym.checkpoint import CheckpointError, bundled


def resolve(game="Pong", **changes):
    arguments = {"obs": "slots", "view": None, "checkpoint": None, "algo": "ppo", "changes": ()}
    arguments |= {"steps": 1000, "envs": 4, "seed": 0}
    return AgentConfig.resolve(game, **arguments | changes)


@pytest.mark.parametrize("algo", ["ppo", "a2c", "dqn"])
@pytest.mark.parametrize("obs", ["slots", "pixels"])
def test_json_keeps_everything(algo, obs):
    changes = ("gamma=0.95", "net_arch=[8, 4]", "anneal=false")
    config = resolve(obs=obs, algo=algo, changes=changes, seed=3)
    again = AgentConfig.from_json(config.to_json())
    assert again == config
    assert again.settings.net_arch == (8, 4) and type(again.settings) is type(config.settings)


def test_defaults_are_those_of_the_observation():
    config = resolve("space_invaders")
    assert config.game == "SpaceInvaders" and config.checkpoint == "SpaceInvaders"
    assert config.view == "vector" and config.settings == PPOSettings()
    pixels = resolve(obs="pixels", algo="dqn")
    assert pixels.checkpoint is None and pixels.settings == DQNSettings.for_pixels()


def test_checkpoints_go_by_bundled_name_or_by_absolute_path(typed_checkpoint, monkeypatch):
    assert resolve(checkpoint="Breakout").checkpoint == "Breakout"
    assert resolve(checkpoint=str(bundled()["Breakout"])).checkpoint == "Breakout"
    monkeypatch.chdir(typed_checkpoint.parent)
    config = resolve(checkpoint=typed_checkpoint.name)
    assert config.checkpoint == str(typed_checkpoint.resolve())


def test_memory_needs_no_checkpoint():
    assert resolve("Skiing", obs="memory").checkpoint is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"game": "Pnog"}, "unknown Atari game 'Pnog'"),
        ({"steps": 0}, "expected --steps of at least 1, got 0"),
        ({"envs": -2}, "expected --envs of at least 1, got -2"),
        ({"seed": -1}, "expected --seed of at least 0, got -1"),
        ({"obs": "pixels", "checkpoint": "Pong"}, "expected no --checkpoint with --obs pixels"),
        ({"obs": "memory", "checkpoint": "Pong"}, "expected no --checkpoint with --obs memory"),
        ({"obs": "pixels", "view": "deepset"}, "expected no --view with --obs pixels"),
        ({"changes": ("gama=0.9",)}, r"expected --set name=value with one of \['learning_rate'"),
        ({"changes": ("gamma",)}, "expected --set gamma=0.99 or another float, got gamma"),
        ({"changes": ("gamma=high",)}, "expected --set gamma=0.99 or another float"),
        ({"changes": ("n_epochs=1.5",)}, "expected --set n_epochs=10 or another int"),
        ({"changes": ("anneal=True",)}, "expected --set anneal=true or another bool"),
        ({"changes": ("n_epochs=true",)}, "expected --set n_epochs=10 or another int"),
        ({"changes": ("net_arch=64",)}, r"expected --set net_arch=\[256, 256\] or another tuple"),
        ({"changes": ('net_arch=["64"]',)}, "expected whole numbers in net_arch, got '64'"),
        ({"changes": ("net_arch=[64, 0]",)}, "expected net_arch of at least 1, got 0"),
        ({"changes": ("n_steps=0",)}, "expected n_steps of at least 1, got 0"),
        ({"changes": ("learning_rate=-1",)}, "expected learning_rate of at least 0, got -1"),
        ({"changes": ("learning_rate=NaN",)}, "expected learning_rate of at least 0, got nan"),
        ({"algo": "a2c", "changes": ("n_epochs=2",)}, "expected --set name=value with one of"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        resolve(**{"game": "Pong"} | changes)
    assert "\n" not in str(caught.value)


def test_a_game_without_bundled_checkpoint_needs_one():
    with pytest.raises(CheckpointError, match="Skiing"):
        resolve("Skiing")


def test_changes_have_the_type_of_the_setting():
    settings = changed(PPOSettings(), ("learning_rate=1", "net_arch=[]", "anneal=false"))
    assert settings.learning_rate == 1.0 and type(settings.learning_rate) is float
    assert settings.net_arch == () and settings.anneal is False
    assert changed(settings, ("anneal=true", "learning_rate=0.001")).net_arch == ()
    assert changed(DQNSettings(), ("learning_starts=0",)).learning_starts == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: json.dumps(values)[:-20],
        lambda values: "[]",
        lambda values: json.dumps({k: v for k, v in values.items() if k != "game"}),
        lambda values: json.dumps({k: v for k, v in values.items() if k != "settings"}),
        lambda values: json.dumps(values | {"algo": "sac"}),
        lambda values: json.dumps(values | {"obs": "smell"}),
        lambda values: json.dumps(values | {"view": "sideways"}),
        lambda values: json.dumps(values | {"more": 1}),
        lambda values: json.dumps(values | {"settings": values["settings"] | {"more": 1}}),
        lambda values: json.dumps(values | {"settings": values["settings"] | {"n_steps": "x"}}),
    ],
)
def test_damaged_json_is_an_error(damage):
    text = damage(dataclasses.asdict(resolve()))
    with pytest.raises(ValueError, match="expected the configuration of an agent, got") as caught:
        AgentConfig.from_json(text)
    assert "\n" not in str(caught.value)


def test_folders_name_game_observation_algorithm_and_seed():
    config = resolve("breakout", obs="pixels", algo="a2c", seed=7)
    assert default_folder(config) == Path("runs/Breakout-pixels-a2c-7")
