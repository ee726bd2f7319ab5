"""Batched wrappers show what wrappers of single environments show."""

import gc
import warnings
import weakref

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from silot_gym import Checkpoint, SILOTObjectWrapper, SlotTracker
from silot_gym.observations import ATTRIBUTES
from silot_gym.sb3 import SILOTVecWrapper
from silot_gym.vector import SILOTObjectVectorWrapper
from tests.native import native_pong

SIZE, LANES, STEPS = (60, 48), 3, 14


class Film(gym.Env):
    """Episodes of random frames, each of another length; one that ends and one that is cut."""

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0, 255, (*SIZE, 3), np.uint8)

    def __init__(self, number):
        self.number, self.episode, self.now = number, 0, 0

    def frame(self):
        rng = np.random.default_rng((self.number, self.episode, self.now))
        frame = rng.integers(0, 256, (*SIZE, 3), "u1")
        frame[: 10 * self.number] = 0
        return frame

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.now = self.episode + 1, 0
        return self.frame(), {}

    def step(self, action):
        self.now += 1
        over = self.now == 3 + self.number + self.episode % 2
        cut = self.number == 1
        return self.frame(), 1.0, over and not cut, over and cut, {}


def alone(checkpoint, number, steps):
    """(observation, track ids, whether an episode ended here) of a single wrapper, by step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = SILOTObjectWrapper(Film(number), checkpoint)
    observation, info = env.reset()
    seen = [(observation, info["objects"]["track_id"], False)]
    while len(seen) < steps:
        observation, _, terminated, truncated, info = env.step(0)
        seen.append((observation, info["objects"]["track_id"], terminated or truncated))
        if terminated or truncated:
            observation, info = env.reset()
            seen.append((observation, info["objects"]["track_id"], False))
    return seen


pytestmark = pytest.mark.filterwarnings("ignore:the checkpoint was made for frames")


def films(cls=SyncVectorEnv, mode=AutoresetMode.NEXT_STEP):
    return cls([lambda n=n: Film(n) for n in range(LANES)], autoreset_mode=mode)


def assert_seen(observation, ids, expected):
    np.testing.assert_allclose(observation, expected[0], atol=1e-3)
    np.testing.assert_array_equal(ids, expected[1])


@pytest.mark.parametrize("cls", [SyncVectorEnv, AsyncVectorEnv])
def test_next_step_resets(tiny_checkpoint, cls):
    envs = SILOTObjectVectorWrapper(films(cls), tiny_checkpoint)
    expected = [alone(tiny_checkpoint, n, STEPS) for n in range(LANES)]
    observations, infos = envs.reset()
    for t in range(STEPS):
        assert observations in envs.observation_space
        for n in range(LANES):
            assert_seen(observations[n], infos["objects"]["track_id"][n], expected[n][t])
        observations, *_, infos = envs.step(np.zeros(LANES, int))
    envs.close()


def test_same_step_resets_show_the_last_and_the_first_frame(tiny_checkpoint):
    envs = SILOTObjectVectorWrapper(films(mode=AutoresetMode.SAME_STEP), tiny_checkpoint)
    expected = [iter(alone(tiny_checkpoint, n, 2 * STEPS)) for n in range(LANES)]
    observations, infos = envs.reset()
    for n in range(LANES):
        assert_seen(observations[n], infos["objects"]["track_id"][n], next(expected[n]))
    ended = 0
    for _ in range(STEPS):
        observations, _, terminated, truncated, infos = envs.step(np.zeros(LANES, int))
        for n in range(LANES):
            if terminated[n] or truncated[n]:
                last = next(expected[n])
                assert last[2]
                assert infos["final_info"]["_objects"][n]
                final = infos["final_info"]["objects"]["track_id"][n]
                assert_seen(infos["final_obs"][n], final, last)
                ended += 1
            assert_seen(observations[n], infos["objects"]["track_id"][n], next(expected[n]))
    assert ended > LANES


def test_masked_resets_leave_other_lanes_as_they_are(tiny_checkpoint):
    envs = SILOTObjectVectorWrapper(films(mode=AutoresetMode.DISABLED), tiny_checkpoint)
    expected = [iter(alone(tiny_checkpoint, n, 2 * STEPS)) for n in range(LANES)]
    observations, infos = envs.reset()
    now = [next(expected[n]) for n in range(LANES)]
    for _ in range(STEPS):
        for n in range(LANES):
            assert_seen(observations[n], infos["objects"]["track_id"][n], now[n])
        observations, _, terminated, truncated, infos = envs.step(np.zeros(LANES, int))
        now = [next(expected[n]) for n in range(LANES)]
        over = terminated | truncated
        if over.any():
            observations, infos = envs.reset(options={"reset_mask": over})
            now = [next(expected[n]) if over[n] else now[n] for n in range(LANES)]


def test_sb3_resets_inside_of_a_step(tiny_checkpoint):
    envs = SILOTVecWrapper(
        DummyVecEnv([lambda n=n: Film(n) for n in range(LANES)]), tiny_checkpoint
    )
    expected = [iter(alone(tiny_checkpoint, n, 2 * STEPS)) for n in range(LANES)]
    observations = envs.reset()
    for n in range(LANES):
        assert_seen(observations[n], envs.reset_infos[n]["objects"]["track_id"], next(expected[n]))
    for _ in range(STEPS):
        observations, _, dones, infos = envs.step(np.zeros(LANES, int))
        assert observations.shape == (LANES, *envs.observation_space.shape)
        for n in range(LANES):
            objects = infos[n]["objects"]
            if dones[n]:
                last = next(expected[n])
                assert_seen(infos[n]["terminal_observation"], objects["track_id"], last)
                objects = envs.reset_infos[n]["objects"]
            assert_seen(observations[n], objects["track_id"], next(expected[n]))


@pytest.mark.parametrize("options", [{"flatten": True}, {"include_pixels": True}])
def test_observations_have_the_form_of_single_wrappers(tiny_checkpoint, options):
    envs = SILOTObjectVectorWrapper(films(), tiny_checkpoint, num_slots=7, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = SILOTObjectWrapper(Film(0), tiny_checkpoint, num_slots=7, **options)
    assert envs.single_observation_space == single.observation_space
    observations, _ = envs.reset()
    for _ in range(6):
        assert observations in envs.observation_space
        observations, *_ = envs.step(np.zeros(LANES, int))


def test_frames_of_another_size_are_warned_of_or_refused(tiny_checkpoint):
    with pytest.warns(UserWarning, match="height=210, got 60"):
        SILOTObjectVectorWrapper(films(), tiny_checkpoint)
    with pytest.raises(ValueError, match="height=210, got 60"):
        SILOTObjectVectorWrapper(films(), tiny_checkpoint, strict=True)
    with pytest.raises(ValueError, match="width=160, got 48"):
        venv = DummyVecEnv([lambda: Film(0)])
        SILOTVecWrapper(venv, tiny_checkpoint, strict=True)


def test_a_masked_reset_does_not_hide_that_another_lane_has_ended(tiny_checkpoint):
    envs = SILOTObjectVectorWrapper(films(), tiny_checkpoint)
    expected = alone(tiny_checkpoint, 0, 6)
    envs.reset()
    for _ in range(4):
        _, _, terminated, truncated, _ = envs.step(np.zeros(LANES, int))
    assert (terminated | truncated).tolist() == [True, False, False]
    envs.reset(options={"reset_mask": np.array([False, False, True])})
    observations, *_, infos = envs.step(np.zeros(LANES, int))  # lane 0 begins its next episode
    assert_seen(observations[0], infos["objects"]["track_id"][0], expected[5])


def test_a_mask_before_any_reset_is_refused(tiny_checkpoint):
    envs = SILOTObjectVectorWrapper(films(), tiny_checkpoint)
    with pytest.raises(ValueError, match="expected a full reset first"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})


def test_observations_are_the_callers_to_keep(tiny_checkpoint):
    envs = SILOTObjectVectorWrapper(films(), tiny_checkpoint)
    first, _ = envs.reset()
    kept = first.copy()
    envs.step(np.zeros(LANES, int))
    np.testing.assert_array_equal(first, kept)


def test_close_frees_the_model(tiny_checkpoint):
    for envs in (
        SILOTObjectVectorWrapper(films(), tiny_checkpoint),
        SILOTVecWrapper(DummyVecEnv([lambda: Film(0)]), tiny_checkpoint),
    ):
        envs.reset()
        model = weakref.ref(envs._observer.tracker._model)
        envs.close()
        gc.collect()
        assert model() is None
        with pytest.raises(RuntimeError, match="the environment is closed"):
            envs._observer.observe(np.zeros((LANES, *SIZE, 3), np.uint8))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_ale_pys_own_vector_environment(mode):
    # Episodes of 6 steps: 24 emulator frames.
    envs = native_pong(autoreset_mode=mode, max_num_frames_per_episode=24, noop_max=1)
    envs = SILOTObjectVectorWrapper(envs, include_pixels=True)
    alone = [SlotTracker(Checkpoint.load("Pong")) for _ in range(2)]

    def assert_tracked(lane, shown, ids):
        slots = alone[lane].step(shown["pixels"][None])
        assert_seen(shown["slots"], ids, (slots.table(ATTRIBUTES)[0], slots.track_id[0]))

    def lane_of(observations, lane):
        return {name: part[lane] for name, part in observations.items()}

    observations, infos = envs.reset(seed=0)
    envs.action_space.seed(0)
    begun, over, ended = np.zeros(2, bool), np.zeros(2, bool), 0
    for _ in range(20):
        assert observations in envs.observation_space
        for lane in range(2):
            if begun[lane]:
                alone[lane].reset()
            ids = infos["objects"]["track_id"][lane]
            assert_tracked(lane, lane_of(observations, lane), ids)
        before = over
        observations, _, terminated, truncated, infos = envs.step(envs.action_space.sample())
        over = terminated | truncated
        begun = over if mode == AutoresetMode.SAME_STEP else before
        for lane in np.flatnonzero(over) if mode == AutoresetMode.SAME_STEP else ():
            last = infos["final_info"]["objects"]["track_id"][lane]
            assert_tracked(lane, infos["final_obs"][lane], last)
        ended += over.sum()
    assert ended >= 4
    envs.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"stack_num": 4}, "stack_num=1"), ({"grayscale": True}, "grayscale=False")],
)
def test_frames_of_another_kind_are_refused(tiny_checkpoint, settings, message):
    with pytest.raises(ValueError, match=message):
        SILOTObjectVectorWrapper(native_pong(**settings), tiny_checkpoint)


def test_types_are_those_of_single_wrappers(typed_checkpoint):
    attributes = ("presence", "category")
    single = SILOTObjectWrapper(Film(1), typed_checkpoint, attributes=attributes)
    envs = SILOTObjectVectorWrapper(films(), typed_checkpoint, attributes=attributes)
    stacked = SILOTVecWrapper(
        DummyVecEnv([lambda n=n: Film(n) for n in range(LANES)]),
        typed_checkpoint,
        attributes=attributes,
    )
    expected, info = single.reset()
    observations, infos = envs.reset()
    np.testing.assert_array_equal(stacked.reset(), observations)
    np.testing.assert_allclose(observations[1], expected, atol=1e-3)
    for name in ("category", "name"):
        np.testing.assert_array_equal(infos["objects"][name][1], info["objects"][name])
        lane = stacked.reset_infos[1]["objects"][name]
        np.testing.assert_array_equal(lane, info["objects"][name])
