"""Connected components in real frames, in the place of SILOT."""

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from silot_gym import make_atari
from silot_gym.baselines import component_vec_wrapper
from silot_gym.baselines.component_vec_wrapper import ComponentVecWrapper, component_types

ATTRIBUTES = ("presence", "where", "velocity", "category")


@pytest.fixture(autouse=True)
def short_play(monkeypatch):
    monkeypatch.setattr(component_vec_wrapper, "TYPE_FRAMES", 150)
    component_types.cache_clear()
    yield
    component_types.cache_clear()


def test_the_paddle_of_breakout_is_followed():
    envs = DummyVecEnv([lambda: make_atari("Breakout")] * 2)
    envs = ComponentVecWrapper(envs, "Breakout", "Breakout", attributes=ATTRIBUTES)
    envs.seed(0)
    observations = envs.reset()
    types = envs.types
    assert observations.shape == (2, 3, 7 + len(types))
    paddles = set()
    for t in range(30):
        observations, _, _, infos = envs.step(np.array([1 if t < 2 else 0] * 2))
        for lane in range(2):
            objects = infos[lane]["objects"]
            assert observations[lane] in envs.observation_space
            # The ball is narrow, and nobody moves the paddle.
            (wide,) = np.flatnonzero(objects["boxes"][:, 2] - objects["boxes"][:, 0] > 10)
            assert objects["boxes"][wide, 1] > 180
            paddles.add((lane, int(objects["track_id"][wide]), int(objects["category"][wide])))
    assert len(paddles) == 2, "one track of one type in each lane"
    envs.close()


def test_the_same_types_are_found_each_time():
    first = component_types("Breakout", "Breakout")
    component_types.cache_clear()
    again = component_types("Breakout", "Breakout")
    assert first is not again
    np.testing.assert_array_equal(first.centres, again.centres)
    np.testing.assert_array_equal(first.max_count, again.max_count)
