import contextlib
import copy
import importlib
import multiprocessing
import pickle
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from silot_gym import Checkpoint, SILOTObjectWrapper, SlotTracker, make_atari
from silot_gym.atari import PooledFrames
from silot_gym.draw import draw_objects, enlarge
from silot_gym.play.config import PlayConfig

ATTRIBUTES = ("presence", "where", "velocity", "depth", "what")


class FixedFrames(gym.Env):
    """Plays given frames; what an episode needs besides is trivial."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, frames):
        self.frames = frames
        self.observation_space = gym.spaces.Box(0, 255, frames[0].shape, np.uint8)
        self.now = 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.now = 0
        return self.frames[0], {"from": "env"}

    def step(self, action):
        self.now += 1
        return self.frames[self.now], 1.5, False, self.now == len(self.frames) - 1, {"from": "env"}


@pytest.fixture
def frames():
    return list(np.random.default_rng(0).integers(0, 256, (8, 60, 48, 3), "u1"))


@pytest.fixture
def wrap(tiny_checkpoint):
    """Makes a wrapper of the tiny checkpoint, without warnings of its odd frames."""

    def make(env, checkpoint=tiny_checkpoint, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SILOTObjectWrapper(env, checkpoint, **kwargs)

    return make


def play(env, steps, seed=0):
    """Observations and infos of an episode, or as many of it as `steps`."""
    env.action_space.seed(seed)
    episode = [env.reset(seed=seed)]
    for _ in range(steps):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        episode.append((observation, info))
        if terminated or truncated:
            break
    return episode


def stay_in_space(env, steps):
    """Plays until `steps` observations have been seen to be as promised."""
    shown, seed = 0, 0
    while steps > 0:
        seed += 1
        for observation, info in play(env, steps, seed):
            assert observation in env.observation_space
            objects = info["objects"]
            empty = objects["track_id"] == -1
            assert all(type(value) is np.ndarray for value in objects.values())
            assert not observation[empty].any()
            for name, value in objects.items():
                assert (value[empty] == (-1 if name in ("track_id", "category") else 0)).all(), name
            presence = observation[:, env.slot_layout["presence"]].ravel()
            np.testing.assert_array_equal(presence, objects["presence"])
            shown += (~empty).sum()
            steps -= 1
    assert shown > 0


def test_observations_stay_in_their_space(tiny_checkpoint):
    stay_in_space(SILOTObjectWrapper(make_atari("SpaceInvaders"), tiny_checkpoint), 200)


@pytest.mark.slow
@pytest.mark.parametrize("game", ["Breakout", "MsPacman", "Seaquest"])
def test_observations_stay_in_their_space_for_long(game, tiny_checkpoint):
    stay_in_space(SILOTObjectWrapper(make_atari(game), tiny_checkpoint), 2000)


def test_space_and_layout(wrap, frames):
    env = wrap(FixedFrames(frames), num_slots=5)
    space, layout = env.observation_space, env.slot_layout
    assert space.shape == (5, 12) and space.dtype == np.float32
    assert list(layout) == list(ATTRIBUTES) and layout["what"] == slice(8, 12)
    signed = np.r_[layout["velocity"], layout["what"]]
    assert (space.low[:, signed] == -1).all() and (space.high == 1).all()
    assert (np.delete(space.low, signed, axis=1) == 0).all()


def test_slots_are_those_of_the_tracker(wrap, frames, tiny_checkpoint):
    env = wrap(FixedFrames(frames))
    tracker = SlotTracker(Checkpoint.load(tiny_checkpoint))
    episode = play(env, 100)
    assert len(episode) == len(frames)
    for frame, (observation, info) in zip(frames, episode, strict=True):
        slots = tracker.step(frame[None])
        np.testing.assert_array_equal(observation, slots.table(ATTRIBUTES)[0])
        assert info["from"] == "env"
        assert info["objects"].keys() == {
            "track_id",
            "boxes",
            "presence",
            "velocity",
            "category",
        }
        for name, value in info["objects"].items():
            np.testing.assert_array_equal(value, getattr(slots, name)[0])


def test_forms_of_the_observation(wrap, frames):
    (rows, _), *_ = play(wrap(FixedFrames(frames)), 1)
    flat = wrap(FixedFrames(frames), flatten=True)
    (flat_rows, _), *_ = play(flat, 1)
    np.testing.assert_array_equal(flat_rows, rows.ravel())
    assert flat_rows in flat.observation_space

    both = wrap(FixedFrames(frames), include_pixels=True, attributes=["what", "presence"])
    (observation, _), *_ = play(both, 1)
    assert observation in both.observation_space
    np.testing.assert_array_equal(observation["pixels"], frames[0])
    np.testing.assert_array_equal(observation["slots"], rows[:, [8, 9, 10, 11, 0]])


def test_same_seed_same_slots_and_reset_forgets(tiny_checkpoint):
    env = SILOTObjectWrapper(make_atari("Pong"), tiny_checkpoint)
    first, again = play(env, 20), play(env, 20)
    for (a, info_a), (b, info_b) in zip(first, again, strict=True):
        assert a.tobytes() == b.tobytes()
        np.testing.assert_array_equal(info_a["objects"]["boxes"], info_b["objects"]["boxes"])
        np.testing.assert_array_equal(info_a["objects"]["track_id"], info_b["objects"]["track_id"])
    assert not np.array_equal(first[-1][0], first[0][0])


@pytest.mark.parametrize("kwargs", [{}, {"flatten": True}, {"include_pixels": True}])
def test_gymnasium_and_sb3_approve(kwargs, tiny_checkpoint):
    env = SILOTObjectWrapper(make_atari("Pong", render_mode="rgb_array"), tiny_checkpoint, **kwargs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sb3_check_env(env)
        check_env(env)
    unavoidable = ["is different from the unwrapped version"]  # as for any wrapper
    if "flatten" not in kwargs:
        unavoidable.append("has an unconventional shape")  # not an image, not a vector
    texts = [str(warning.message) for warning in caught]
    assert [text for text in texts if not any(known in text for known in unavoidable)] == []


def test_spec_rebuilds_the_environment(tiny_checkpoint):
    env = SILOTObjectWrapper(
        make_atari("Pong"), tiny_checkpoint, num_slots=7, attributes=("where",), flatten=True
    )
    rebuilt = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(rebuilt, SILOTObjectWrapper)
    assert rebuilt.observation_space == env.observation_space
    for (a, _), (b, _) in zip(play(env, 5), play(rebuilt, 5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_how_it_is_played_is_chosen_and_goes_into_the_spec(tiny_checkpoint):
    def identities(**options):
        env = SILOTObjectWrapper(make_atari("Pong"), tiny_checkpoint, **options)
        shown = [info["objects"]["track_id"] for _, info in play(env, 8)]
        rebuilt = gym.make(EnvSpec.from_json(env.spec.to_json()))
        again = [info["objects"]["track_id"] for _, info in play(rebuilt, 8)]
        np.testing.assert_array_equal(shown, again)
        return np.stack(shown)

    by_default, plain = identities(), identities(play=PlayConfig.plain())
    assert not np.array_equal(by_default, plain)
    np.testing.assert_array_equal(plain, identities(play=asdict(PlayConfig.plain())))
    np.testing.assert_array_equal(by_default, identities(play={}))
    with pytest.raises(ValueError, match=r"relink_distence: .*got 3"):
        identities(play={"relink_distence": 3})
    with pytest.raises(ValueError, match=r"fit_boxes: .*boolean, got 'yes'"):
        identities(play={"fit_boxes": "yes"})


def test_a_spec_may_ask_for_the_wrapper(tiny_checkpoint):
    spec = copy.deepcopy(gym.spec("ALE/Pong-v5"))
    wrapper = SILOTObjectWrapper.wrapper_spec(checkpoint=str(tiny_checkpoint), num_slots=7)
    spec.additional_wrappers = (PooledFrames.wrapper_spec(frame_skip=4), wrapper)
    made = gym.make(spec, frameskip=1)
    assert isinstance(made, SILOTObjectWrapper)
    env = SILOTObjectWrapper(make_atari("Pong"), tiny_checkpoint, num_slots=7)
    for (a, _), (b, _) in zip(play(env, 5), play(made, 5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrappers_go_by_name_and_plain_values(tiny_checkpoint):
    """As RL Zoo's `env_wrapper` setting has them, which comes from a YAML file."""
    settings = {
        "silot_gym.atari.PooledFrames": {"frame_skip": 4},
        "silot_gym.SILOTObjectWrapper": {
            "checkpoint": str(tiny_checkpoint),
            "attributes": ["where"],
            "flatten": True,
        },
    }
    env = gym.make("ALE/Pong-v5", frameskip=1)
    for path, arguments in settings.items():
        module, _, name = path.rpartition(".")
        env = getattr(importlib.import_module(module), name)(env, **arguments)
    assert env.observation_space.shape == (64 * 4,)
    assert env.reset(seed=0)[0] in env.observation_space


def test_pickles_in_the_middle_of_an_episode(wrap, frames):
    env = wrap(FixedFrames(frames))
    play(env, 3)
    again = pickle.loads(pickle.dumps(env))
    for _ in range(2):
        (a, *_, info_a), (b, *_, info_b) = env.step(0), again.step(0)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(info_a["objects"]["track_id"], info_b["objects"]["track_id"])


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_gymnasium_vector_envs(kind, tiny_checkpoint):
    def make():
        return SILOTObjectWrapper(make_atari("Pong"), tiny_checkpoint)

    # Threads of torch that run in the parent must not stop a forked worker.
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(1000, 1000).sum()
    vector = {"sync": gym.vector.SyncVectorEnv, "async": gym.vector.AsyncVectorEnv}[kind]
    with contextlib.closing(vector([make, make])) as envs:
        observations, infos = envs.reset(seed=[3, 4])
        singles = [make().reset(seed=seed) for seed in (3, 4)]
        torch.set_num_threads(threads)
        for lane, (observation, info) in enumerate(singles):
            np.testing.assert_allclose(observations[lane], observation, rtol=1e-3, atol=1e-3)
            for name, value in info["objects"].items():
                np.testing.assert_allclose(infos["objects"][name][lane], value, rtol=1e-3)
        observations, *_ = envs.step(np.zeros(2, int))
        assert observations in envs.observation_space


@pytest.mark.parametrize("vector", [DummyVecEnv, SubprocVecEnv])
def test_sb3_vec_envs(vector, tiny_checkpoint):
    def make():
        return SILOTObjectWrapper(make_atari("Pong"), tiny_checkpoint, flatten=True)

    with contextlib.closing(vector([make, make])) as envs:
        envs.seed(3)
        observations = envs.reset()
        expected, _ = make().reset(seed=3)
        np.testing.assert_allclose(observations[0], expected, rtol=1e-3, atol=1e-3)
        observations, _, _, infos = envs.step(np.zeros(2, int))
        assert observations.shape == (2, *expected.shape)
        assert infos[1]["objects"]["boxes"].shape == (64, 4)


def test_a_frame_outside_of_its_space_is_an_error_with_the_step(wrap, frames):
    frames[3] = frames[3].astype(np.float32)
    env = wrap(FixedFrames(frames))
    with pytest.raises(ValueError, match=r"step 3: expected uint8 frames .*got float32"):
        play(env, 5)
    frames[0] = frames[0][:-1]
    with pytest.raises(ValueError, match=r"step 0: expected .*60, 48.*got uint8 \(1, 59, 48, 3\)"):
        env.reset()


def test_render_draws_the_objects_if_asked(wrap, frames, monkeypatch):
    with pytest.raises(ValueError, match="render_mode='rgb_array', got None"):
        wrap(FixedFrames(frames), render_overlay=True)

    monkeypatch.setattr(FixedFrames, "render_mode", "rgb_array")
    monkeypatch.setattr(FixedFrames, "render", lambda env: "what the environment renders")
    env, plain = wrap(FixedFrames(frames), render_overlay=True), wrap(FixedFrames(frames))
    assert env.render() == "what the environment renders"  # nothing is observed yet
    _, info = play(env, 3)[-1]
    picture = env.render()
    np.testing.assert_array_equal(picture, draw_objects(frames[3], info["objects"], 4))
    assert (picture != enlarge(frames[3], 4)).any()
    play(plain, 3)
    assert plain.render() == "what the environment renders"
    small = wrap(FixedFrames(frames), render_overlay=True, overlay_scale=2)
    play(small, 3)
    assert small.render().shape == (120, 96, 3)
    with pytest.raises(ValueError, match="overlay_scale >= 1, got 0"):
        wrap(FixedFrames(frames), render_overlay=True, overlay_scale=0)


def test_an_overlay_without_pillow_is_refused_at_once(wrap, frames, monkeypatch):
    monkeypatch.setattr(FixedFrames, "render_mode", "rgb_array")
    monkeypatch.setitem(sys.modules, "PIL", None)
    for module in ("silot_gym.canvas", "silot_gym.draw"):
        monkeypatch.delitem(sys.modules, module)
    wrap(FixedFrames(frames))
    with pytest.raises(ImportError, match=r'Pillow: pip install "silot_gym\[atari\]"'):
        wrap(FixedFrames(frames), render_overlay=True)


def test_the_overlay_shows_what_is_observed_and_not_the_last_screen():
    """Of Asteroids, whose rocks and ship are drawn on alternate screens."""
    env = SILOTObjectWrapper(
        make_atari("Asteroids", render_mode="rgb_array"), include_pixels=True, render_overlay=True
    )
    observation, info = play(env, 30)[-1]
    frame, objects = observation["pixels"], info["objects"]
    picture, screen = env.render(), env.unwrapped.render()
    dark, bright = (
        draw_objects(np.full_like(frame, shade), objects) == shade for shade in (0, 255)
    )
    untouched = dark & bright
    assert untouched.mean() > 0.95
    np.testing.assert_array_equal(picture[untouched], enlarge(frame)[untouched])
    # The screen has nothing in most boxes, the overlay something in all of them.
    boxes = objects["boxes"][objects["track_id"] >= 0].round().astype(int)
    assert len(boxes) > 3
    missed = 0
    for x0, y0, x1, y1 in boxes:
        assert picture[4 * y0 : 4 * y1, 4 * x0 : 4 * x1].any()
        missed += not screen[y0:y1, x0:x1].any()
    assert missed > len(boxes) / 2


def test_close_releases_the_model(wrap, frames):
    env = wrap(FixedFrames(frames))
    play(env, 2)
    env.close()
    env.close()
    with pytest.raises(RuntimeError, match="closed"):
        env.step(0)


def test_types_are_columns_and_numbers(wrap, frames, typed_checkpoint):
    attributes = ("presence", "category", "where")
    env = wrap(FixedFrames(frames), typed_checkpoint, attributes=attributes)
    assert env.slot_layout["category"] == slice(1, 4) and env.observation_space.shape == (64, 8)
    assert (env.observation_space.low[:, 1:4] == 0).all()
    assert (env.observation_space.high[:, 1:4] == 1).all()
    seen = set()
    for observation, info in play(env, 100):
        assert observation in env.observation_space
        objects, columns = info["objects"], observation[:, env.slot_layout["category"]]
        assert objects["category"].dtype == np.int64
        np.testing.assert_array_equal(objects["category"] == -1, objects["track_id"] == -1)
        for row, category, name in zip(columns, objects["category"], objects["name"], strict=True):
            assert row.tolist() == [float(n == category) for n in range(3)]
            assert name == {0: "low", 1: "", 2: "high", -1: ""}[category]
            seen.add(category)
    assert len(seen) >= 3


def test_without_types_a_category_is_refused_and_without_names_none_are_shown(wrap, frames):
    with pytest.raises(ValueError, match=r"with types of objects, got one without: .*--find"):
        wrap(FixedFrames(frames), attributes=("category",))
    (_, info), *_ = play(wrap(FixedFrames(frames)), 1)
    assert (info["objects"]["category"] == -1).all() and "name" not in info["objects"]
    assert "category" not in wrap(FixedFrames(frames)).slot_layout


def test_named_types_pass_the_checks_and_go_into_vector_environments(typed_checkpoint):
    def make():
        attributes = ("where", "category")
        env = make_atari("Pong", render_mode="rgb_array")
        return SILOTObjectWrapper(env, typed_checkpoint, attributes=attributes, flatten=True)

    check_env(make())
    envs = gym.vector.SyncVectorEnv([make, make])
    _, infos = envs.reset(seed=0)
    _, info = make().reset(seed=0)
    assert infos["objects"]["name"][0].tolist() == info["objects"]["name"].tolist()


def _play(checkpoint):
    env = SILOTObjectWrapper(make_atari("Pong"), checkpoint)
    env.reset(seed=0)
    return env.step(0)[0].shape


def test_a_forked_worker_that_is_no_daemon_plays(tiny_checkpoint):
    """After its parent has used several threads, whose copies would never answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        expected = _play(str(tiny_checkpoint))
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(1, mp_context=fork) as pool:
            assert pool.submit(_play, str(tiny_checkpoint)).result(timeout=120) == expected
        torch.set_num_threads(threads)
