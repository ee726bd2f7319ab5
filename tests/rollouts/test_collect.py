import importlib
import itertools
import shutil

import gymnasium as gym
import numpy as np
import pytest

from silot_gym.atari import make_atari
from silot_gym.rollouts import RESET_ACTION, RolloutError, RolloutStore, collect
from silot_gym.rollouts.policies import RandomPolicy

SETTINGS = {"num_frames": 200, "seed": 5, "max_episode_frames": 40, "progress": False}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return collect(tmp_path_factory.mktemp("rollouts"), "space_invaders", **SETTINGS)


@pytest.fixture
def one_episode_is_enough(monkeypatch):
    monkeypatch.setattr(importlib.import_module("silot_gym.rollouts.collect"), "MIN_EPISODES", 1)


def assert_same_episodes(one, other):
    assert len(one) == len(other)
    for number in range(len(one)):
        a, b = one.episode(number), other.episode(number)
        assert np.array_equal(a.actions, b.actions)
        assert np.array_equal(a.rgb(), b.rgb())


def replay(env, episode, seed, number):
    env_seed = np.random.SeedSequence((seed, number)).generate_state(2)[0]
    frames = [env.reset(seed=int(env_seed))[0]]
    return np.stack(frames + [env.step(action)[0] for action in episode.actions[1:]])


@pytest.mark.usefixtures("one_episode_is_enough")
@pytest.mark.parametrize("pooled", [True, False])
def test_replayed_actions_show_the_stored_frames(tmp_path, pooled):
    settings = SETTINGS | {"num_frames": 80, "pooled": pooled}
    store = collect(tmp_path, "SpaceInvaders", **settings)
    env = make_atari("SpaceInvaders", pooled=pooled)
    for number in (0, 1):
        episode = store.episode(number)
        assert np.array_equal(episode.rgb(), replay(env, episode, seed=5, number=number))


def test_amount_and_cut(store):
    assert len(store) == 6
    assert store.num_frames == 240
    for number in range(6):
        actions = store.episode(number).actions
        assert actions[0] == RESET_ACTION and len(actions) == 40
        assert set(actions[1:]) <= set(range(6))


def test_episodes_differ(store):
    actions = [store.episode(number).actions for number in range(6)]
    for one, other in itertools.combinations(actions, 2):
        assert not np.array_equal(one, other)


@pytest.mark.usefixtures("one_episode_is_enough")
def test_whole_episodes_end_with_the_game(tmp_path):
    settings = SETTINGS | {"num_frames": 1, "max_episode_frames": 2000}
    store = collect(tmp_path, "SpaceInvaders", **settings)
    env = make_atari("SpaceInvaders")
    episode = store.episode(0)
    assert len(store) == 1 and len(episode) < 2000
    env_seed = np.random.SeedSequence((5, 0)).generate_state(2)[0]
    env.reset(seed=int(env_seed))
    ended = [env.step(action)[2] for action in episode.actions[1:]]
    assert ended.index(True) == len(ended) - 1


def test_info_describes_the_collection(store):
    info = store.info
    assert (info.game, info.frame_skip, info.pooled, info.sticky) == (
        "SpaceInvaders",
        4,
        True,
        0.25,
    )
    assert (info.seed, info.max_episode_frames) == (5, 40)
    assert (info.frame_height, info.frame_width) == (210, 160)
    assert "random" in info.policy
    assert set(info.versions) == {"ale-py", "gymnasium"}


@pytest.mark.usefixtures("one_episode_is_enough")
def test_frames_are_small_on_disk(tmp_path):
    store = collect(tmp_path, "Enduro", **SETTINGS)
    size = sum(file.stat().st_size for file in tmp_path.glob("*.npz"))
    assert 0 < size <= 40_000 * store.num_frames


def test_resumed_collection_equals_an_uninterrupted_one(tmp_path, store, monkeypatch):
    class Killed(Exception):
        pass

    def killed_at_third(self, episode, append=RolloutStore.append):
        if len(self) == 2:
            raise Killed
        append(self, episode)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RolloutStore, "append", killed_at_third)
        collect(tmp_path, "SpaceInvaders", **SETTINGS)
    assert len(RolloutStore.open(tmp_path)) == 2
    assert_same_episodes(collect(tmp_path, "SpaceInvaders", **SETTINGS), store)


def test_finished_collection_is_left_alone(store):
    before = {path: path.stat().st_mtime_ns for path in store.folder.iterdir()}
    collect(store.folder, "SpaceInvaders", **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in store.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("game", "changes", "message"),
    [
        ("SpaceInvaders", {"seed": 6}, "seed 5, but 6"),
        ("SpaceInvaders", {"pooled": False}, "pooled True, but False"),
        ("SpaceInvaders", {"max_episode_frames": 50}, "max_episode_frames 40, but 50"),
        ("Pong", {}, "game 'SpaceInvaders', but 'Pong'"),
    ],
)
def test_other_settings_are_refused(store, game, changes, message):
    with pytest.raises(RolloutError, match=message):
        collect(store.folder, game, **SETTINGS | changes)
    assert len(store) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 0}, "num_frames >= 1, got 0"),
        ({"seed": -1}, "seed >= 0, got -1"),
        ({"max_episode_frames": 1}, "max_episode_frames >= 2, got 1"),
        ({"frame_skip": 1}, "frame_skip >= 2"),
        ({"game": "Pnog"}, "Pong"),
        ({"policy": "agent.zip"}, r"agent\.zip: .* executes code .* pass --trust-policy"),
        (
            {"policy": "nothing.zip", "trust_policy": True},
            r"nothing\.zip: expected a PPO, A2C or DQN agent",
        ),
    ],
)
def test_wrong_arguments_leave_no_folder(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        collect(tmp_path / "rollouts", **{"game": "Pong"} | SETTINGS | changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "rollouts").exists()


@pytest.mark.usefixtures("one_episode_is_enough")
@pytest.mark.parametrize("progress", [True, False])
def test_progress_bar_shows_only_if_wanted(tmp_path, capsys, progress):
    collect(tmp_path, "Pong", **SETTINGS | {"num_frames": 40, "progress": progress})
    assert ("40/40" in capsys.readouterr().err) == progress


def test_random_actions_are_held_for_one_to_eight_steps():
    policy = RandomPolicy(make_atari("Boxing"))  # 18 actions, so that few repeat by chance
    policy.start(0)
    actions = [policy.action(np.zeros((210, 160, 3), np.uint8)) for _ in range(20_000)]
    assert set(actions) == set(range(18))
    lengths = [len(list(run)) for _, run in itertools.groupby(actions)]
    assert 4.5 < np.mean(lengths) < 5.0  # 4.5 held, times 18/17 for repeats by chance
    assert set(range(1, 9)) <= set(lengths)


class Frames(gym.Env):
    """An environment that is nothing but its spaces."""

    def __init__(self, shape, num_actions):
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gym.spaces.Discrete(num_actions)


def save_agent(path, algorithm, shape=(210, 160, 3), num_actions=6):
    sb3 = pytest.importorskip("stable_baselines3")
    small = {"features_extractor_kwargs": {"features_dim": 8}}
    memory = {"buffer_size": 1} if algorithm == "DQN" else {}
    kind, env = getattr(sb3, algorithm), Frames(shape, num_actions)
    agent = kind("CnnPolicy", env, policy_kwargs=small, seed=0, **memory)
    if algorithm == "DQN":
        agent.exploration_rate = 0.5  # as in the middle of a training
    agent.save(path)
    return path


@pytest.mark.usefixtures("one_episode_is_enough")
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "DQN"])
def test_saved_agent_plays_and_resumes(tmp_path, algorithm):
    agent = save_agent(tmp_path / "agent.zip", algorithm)
    settings = SETTINGS | {
        "max_episode_frames": 8,
        "num_frames": 16,
        "policy": agent,
        "trust_policy": True,
    }
    store = collect(tmp_path / "whole", "Pong", **settings)
    assert f"{algorithm} agent agent.zip" in store.info.policy
    first, second = (store.episode(number).actions for number in range(2))
    assert not np.array_equal(first, second)
    resumed = shutil.copytree(store.folder, tmp_path / "resumed")
    (resumed / "episode_00001.npz").unlink()
    assert_same_episodes(collect(resumed, "Pong", **settings), store)


@pytest.mark.parametrize(("shape", "num_actions"), [((84, 84, 4), 6), ((210, 160, 3), 4)])
def test_agent_for_other_spaces_is_refused(tmp_path, shape, num_actions):
    agent = save_agent(tmp_path / "agent.zip", "PPO", shape, num_actions)
    with pytest.raises(ValueError, match=r"\(210, 160, 3\).*Discrete\(6\).*got Box") as caught:
        collect(tmp_path / "rollouts", "Pong", **SETTINGS | {"policy": agent, "trust_policy": True})
    assert f"Discrete({num_actions})" in str(caught.value)
    assert "\n" not in str(caught.value)
