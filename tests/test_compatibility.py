import contextlib
import json
import warnings

import gymnasium as gym
import pytest
from ale_py.env import AtariEnv
from gymnasium.wrappers import FrameStackObservation

from silot_gym import SILOTObjectWrapper, make_atari
from silot_gym.checkpoint import CheckpointError


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda: gym.make("ALE/Pong-v5", obs_type="grayscale"), r"uint8 \(210, 160\)"),
        (lambda: gym.make("ALE/Pong-v5", obs_type="ram"), r"uint8 \(128,\)"),
        (lambda: FrameStackObservation(make_atari("Pong"), 4), r"uint8 \(4, 210, 160, 3\)"),
        (lambda: gym.make("CartPole-v1"), r"float32 \(4,\)"),
        (lambda: gym.make("FrozenLake-v1"), r"Discrete\(16\)"),
    ],
)
def test_other_observations_are_refused(make, got, tiny_checkpoint):
    make_atari("Pong")  # registers the games
    message = rf"expected .*uint8 RGB frames \(height, width, 3\), got {got}: make .*obs_type='rgb'"
    with pytest.raises(ValueError, match=message) as caught:
        SILOTObjectWrapper(make(), tiny_checkpoint)
    assert "\n" not in str(caught.value)


def test_missing_checkpoints(tmp_path):
    def message(env, checkpoint):
        with pytest.raises(CheckpointError) as caught:
            SILOTObjectWrapper(env, checkpoint)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    # Skiing is no game that a checkpoint is bundled for.
    command = "`python pretrain/collect_and_train.py --game Skiing`"
    assert command in message(make_atari("Skiing"), None)
    assert "pass checkpoint=" in message(AtariEnv("pong"), None)  # not made by gym.make
    assert "got 'Pnog'" in message(make_atari("Pong"), "Pnog")
    assert "found no config.json" in message(make_atari("Pong"), tmp_path)


@pytest.fixture
def pong_checkpoint(tiny_checkpoint, tmp_path):
    """The tiny checkpoint, made for Pong."""
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    config["frames"]["game"] = "Pong"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(tiny_checkpoint / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: make_atari("Pong"), []),
        (lambda: make_atari("Breakout"), ["game='Pong', got 'Breakout'"]),
        (lambda: make_atari("Pong", frame_skip=3), ["frame_skip=4, got 3"]),
        (lambda: make_atari("Pong", pooled=False), ["pooled=True, got False.*make_atari"]),
        (lambda: make_atari("MrDo"), ["height=210, got 250", "game='Pong', got 'MrDo'"]),
    ],
)
def test_frames_of_another_kind(make, expected, pong_checkpoint):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SILOTObjectWrapper(make(), pong_checkpoint)
    assert len(caught) == len(expected)
    for warning, pattern in zip(caught, expected, strict=True):
        assert warning.filename == __file__
        with pytest.raises(UserWarning, match=pattern):
            raise warning.message
    with pytest.raises(ValueError, match=expected[0]) if expected else contextlib.nullcontext():
        SILOTObjectWrapper(make(), pong_checkpoint, strict=True)
