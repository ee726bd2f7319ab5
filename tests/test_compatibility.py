import contextlib
import json
import warnings

import gymnasium as gym
import pytest
from ale_py.env import AtariEnv
from ale_py.vector_env import AtariVectorEnv
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import (
    Autoreset,
    FrameStackObservation,
    MaxAndSkipObservation,
    TransformObservation,
)
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from silot_gym import SILOTObjectWrapper, make_atari
from silot_gym.checkpoint import Checkpoint, CheckpointError, bundled
from silot_gym.compatibility import frames_of_env, frames_of_sb3, frames_of_vector
from silot_gym.vector import SILOTObjectVectorWrapper
from tests.native import native_pong


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
    """The tiny checkpoint, made for Pong, as if it hid something."""
    return made_for_pong(tiny_checkpoint, tmp_path, flickers=True)


def made_for_pong(tiny_checkpoint, tmp_path, *, flickers):
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    config["calibration"] |= {"game": "Pong", "flickers": flickers}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name in ("model.safetensors", "calibration.safetensors"):
        (tmp_path / name).symlink_to(tiny_checkpoint / name)
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


def test_frames_that_are_not_pooled_will_do_where_nothing_flickers(tiny_checkpoint, tmp_path):
    checkpoint = made_for_pong(tiny_checkpoint, tmp_path, flickers=False)
    SILOTObjectWrapper(make_atari("Pong", pooled=False), checkpoint, strict=True)


POOLED = {"game": "Pong", "frame_skip": 4, "pooled": True}
PLAIN = {"game": "Pong", "frame_skip": 3, "pooled": False}


def plain():
    make_atari("Pong")  # registers the games, also in a new process
    return gym.make("ALE/Pong-v5", frameskip=3)


known_environments = pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: make_atari("Pong"), POOLED),
        (plain, PLAIN),
        (lambda: gym.make("CartPole-v1"), {}),
    ],
)


@pytest.mark.parametrize("cls", [SyncVectorEnv, AsyncVectorEnv])
@known_environments
def test_what_is_known_of_vectors(cls, make, expected):
    envs = cls([make] * 2)
    assert frames_of_vector(envs) == [expected]
    envs.close()


def test_what_is_known_of_ale_pys_own_vector():
    assert frames_of_vector(native_pong()) == [POOLED]
    assert frames_of_vector(native_pong(frameskip=3, maxpool=False)) == [PLAIN]


@pytest.mark.parametrize("cls", [SyncVectorEnv, AsyncVectorEnv, DummyVecEnv, SubprocVecEnv])
def test_all_environments_of_a_vector_are_looked_at(cls):
    envs = cls([lambda: make_atari("Pong"), plain, lambda: make_atari("Pong")])
    look = frames_of_vector if cls in (SyncVectorEnv, AsyncVectorEnv) else frames_of_sb3
    assert look(envs) == [POOLED, PLAIN]
    envs.close()


def test_a_vector_of_which_one_environment_does_not_fit_is_refused():
    envs = SyncVectorEnv([lambda: make_atari("Pong"), lambda: make_atari("SpaceInvaders")])
    with pytest.raises(ValueError, match="game='Pong', got 'SpaceInvaders'"):
        SILOTObjectVectorWrapper(envs, strict=True)
    with pytest.warns(UserWarning, match="got 'SpaceInvaders'"):
        SILOTObjectVectorWrapper(envs)


def test_ale_pys_vector_made_directly_does_not_tell_its_game():
    form = {"grayscale": False, "stack_num": 1, "img_height": 210, "img_width": 160}
    envs = AtariVectorEnv("pong", 1, **form)
    with pytest.raises(CheckpointError, match="does not tell which Atari game"):
        SILOTObjectVectorWrapper(envs)
    with pytest.raises(ValueError, match="does not tell its game"):
        SILOTObjectVectorWrapper(envs, "Pong", strict=True)
    SILOTObjectVectorWrapper(envs, "Pong")
    small = AtariVectorEnv("pong", 1, grayscale=False, stack_num=1)
    for other in (AtariVectorEnv("pong", 1), small):
        with pytest.raises(ValueError, match=r"grayscale=False, stack_num=1, img_height=210"):
            SILOTObjectVectorWrapper(other, "Pong")


def test_episodes_that_begin_unseen_are_refused(tiny_checkpoint):
    inside = FrameStackObservation(Autoreset(make_atari("Pong")), 1)
    with pytest.raises(ValueError, match=r"Autoreset\(SILOTObjectWrapper\(env\)\)"):
        SILOTObjectWrapper(inside, tiny_checkpoint)


def test_channels_first_are_named(tiny_checkpoint):
    env = TransformObservation(
        make_atari("Pong"), lambda x: x.transpose(2, 0, 1), Box(0, 255, (3, 210, 160), "u1")
    )
    with pytest.raises(ValueError, match=r"channels last.*got \(3, 210, 160\)"):
        SILOTObjectWrapper(env, tiny_checkpoint)


def test_a_loaded_checkpoint_goes_by_its_folder():
    checkpoint = Checkpoint.load("pong")
    env = SILOTObjectWrapper(make_atari("Pong"), checkpoint)
    assert gym.make(EnvSpec.from_json(env.spec.to_json())).spec == env.spec
    with pytest.raises(CheckpointError, match="made or changed in memory: save it"):
        SILOTObjectWrapper(make_atari("Pong"), checkpoint.with_calibration(num_slots=9))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"device": None}, "'cpu' or 'cuda', got 'None'"), ({"num_slots": True}, "got 1 and True")],
)
def test_odd_arguments_get_one_line(arguments, message, pong_checkpoint):
    with pytest.raises(ValueError, match=message):
        SILOTObjectWrapper(make_atari("Pong"), pong_checkpoint, **arguments)


@pytest.mark.parametrize("cls", [DummyVecEnv, SubprocVecEnv])
@known_environments
def test_what_is_known_of_sb3s_vectors(cls, make, expected):
    envs = cls([make])
    assert frames_of_sb3(envs) == [expected]
    envs.close()


def test_pooling_may_be_done_by_another_wrapper():
    env = MaxAndSkipObservation(make_atari("Pong", pooled=False, frame_skip=1), skip=4)
    assert frames_of_env(env) == POOLED


def test_an_environment_that_is_no_game_of_ale_py_is_not_taken_for_one():
    env = make_atari("Pong", pooled=False)
    env.unwrapped.spec.entry_point = "elsewhere:Env"
    assert frames_of_env(env) == {}


def test_vectors_find_the_bundled_checkpoint_and_refuse_another_games():
    envs = SILOTObjectVectorWrapper(native_pong(), strict=True)
    assert envs.reset(seed=0)[0] in envs.observation_space
    with pytest.raises(ValueError, match="game='Breakout', got 'Pong'"):
        SILOTObjectVectorWrapper(native_pong(), "Breakout", strict=True)


def test_a_folder_of_that_name_does_not_hide_a_bundled_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "Pong").mkdir()
    monkeypatch.chdir(tmp_path)
    config = json.loads((bundled()["Pong"] / "config.json").read_text())
    expected = config["calibration"]["num_slots"]
    for checkpoint in (None, "Pong"):
        env = SILOTObjectWrapper(make_atari("Pong"), checkpoint)
        assert env.observation_space.shape[0] == expected
