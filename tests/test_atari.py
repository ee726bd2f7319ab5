import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import AtariPreprocessing

from silot_gym.atari import make_atari, resolve_game


@pytest.mark.parametrize(
    "name",
    [
        "SpaceInvaders",
        "space_invaders",
        "space-invaders",
        "spaceinvaders",
        "Space Invaders",
        "ALE/SpaceInvaders-v5",
        "ale/space_invaders-v5",
    ],
)
def test_spellings_mean_one_game(name):
    assert resolve_game(name) == "SpaceInvaders"


def test_every_listed_game_resolves_to_itself():
    resolve_game("Pong")  # registers the games
    games = [spec.name for spec in gym.registry.values() if spec.namespace == "ALE"]
    assert len(games) > 100
    assert [resolve_game(game) for game in games] == games


@pytest.mark.parametrize(
    ("name", "closest"),
    [("SpaceInvader", "SpaceInvaders"), ("brakeout", "Breakout"), ("ms_pcman", "MsPacman")],
)
def test_unknown_game_names_the_closest(name, closest):
    with pytest.raises(ValueError, match=closest) as caught:
        resolve_game(name)
    message = str(caught.value)
    assert repr(name) in message and "\n" not in message


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize(("game", "height"), [("Pong", 210), ("Carnival", 214), ("MrDo", 250)])
def test_frames_have_the_native_size(game, height, pooled):
    env = make_atari(game, pooled=pooled)
    assert env.observation_space == gym.spaces.Box(0, 255, (height, 160, 3), np.uint8)
    frame, _ = env.reset(seed=0)
    assert frame in env.observation_space
    assert env.step(0)[0] in env.observation_space


def test_pooled_frames_show_what_flickers():
    def drawn_pixels(pooled):
        env = make_atari("Asteroids", pooled=pooled)
        env.reset(seed=0)
        frames = [env.step(0)[0] for _ in range(20)][5:]  # rocks appear after the first steps
        return np.array([frame[20:].any(axis=2).sum() for frame in frames])  # below the score

    assert drawn_pixels(pooled=True).min() > 2 * drawn_pixels(pooled=False).max()


@pytest.mark.parametrize("frame_skip", [2, 4])
def test_pooled_frames_are_gymnasiums(frame_skip):
    env = make_atari("Breakout", frame_skip=frame_skip)
    reference = AtariPreprocessing(
        gym.make("ALE/Breakout-v5", frameskip=1),
        noop_max=0,
        frame_skip=frame_skip,
        screen_size=(160, 210),
        grayscale_obs=False,
    )
    assert np.array_equal(env.reset(seed=3)[0], reference.reset(seed=3)[0])
    for action in np.random.default_rng(0).integers(4, size=50):
        ours, theirs = env.step(action), reference.step(action)
        assert np.array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


def test_plain_frames_are_those_of_gym_make():
    env, reference = make_atari("Breakout", pooled=False), gym.make("ALE/Breakout-v5")
    assert np.array_equal(env.reset(seed=3)[0], reference.reset(seed=3)[0])
    for action in np.random.default_rng(0).integers(4, size=50):
        assert np.array_equal(env.step(action)[0], reference.step(action)[0])


def test_keywords_reach_gym_make():
    env = make_atari("Pong", full_action_space=True, render_mode="rgb_array")
    assert env.action_space == gym.spaces.Discrete(18)
    env.reset(seed=0)
    assert env.render().shape == (210, 160, 3)
    assert env.spec.kwargs["repeat_action_probability"] == 0.25
    env = make_atari("Pong", repeat_action_probability=0.0)
    assert env.spec.kwargs["repeat_action_probability"] == 0.0


def test_spec_survives_json():
    env = make_atari("Carnival", frame_skip=3)
    copy = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert np.array_equal(env.reset(seed=1)[0], copy.reset(seed=1)[0])
    for _ in range(5):
        assert np.array_equal(env.step(1)[0], copy.step(1)[0])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"frame_skip": 1}, "frame_skip >= 2"),
        ({"frame_skip": 0, "pooled": False}, "frame_skip >= 1"),
        ({"frameskip": 4}, "frame_skip"),
        ({"obs_type": "grayscale"}, "expected RGB frames"),
        ({"obs_type": "ram", "pooled": False}, "expected RGB frames"),
        ({"sound_obs": True}, "expected RGB frames"),
    ],
)
def test_unfit_arguments_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        make_atari("Pong", **keywords)


@pytest.mark.parametrize("module", ["ale_py", "cv2"])
def test_missing_package_says_how_to_install_it(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)  # makes its import fail
    with pytest.raises(ImportError, match=r'pip install "silot_gym\[atari\]"'):
        make_atari("Pong")


def test_plain_frames_need_no_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    make_atari("Pong", pooled=False)


def test_import_leaves_optional_packages_alone():
    code = (
        "import sys, silot_gym.atari, silot_gym.rollouts;"
        "print({'ale_py', 'cv2', 'stable_baselines3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_emulator_prints_nothing():
    code = "from silot_gym.atari import make_atari; make_atari('Pong').reset(seed=0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("pooled", [True, False])
def test_a_limit_on_steps_counts_steps(pooled):
    env = make_atari("Pong", pooled=pooled, max_episode_steps=10)
    for made in (env, gym.make(EnvSpec.from_json(env.spec.to_json()))):
        made.reset(seed=0)
        ends = [made.step(0)[3] for _ in range(10)]
        assert ends == [False] * 9 + [True]
        made.close()
