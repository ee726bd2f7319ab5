"""Objects from the console's memory, in the form of slots."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from silot_gym import make_atari
from silot_gym.agents.config import AgentConfig
from silot_gym.agents.envs import make_envs
from silot_gym.baselines.memory_objects import LAYOUT, MemoryObjects


def test_objects_of_pong_are_those_on_the_screen():
    pytest.importorskip("ocatari")
    frames = make_atari("Pong")
    env = MemoryObjects(frames, "Pong")
    assert env.categories == ["Player", "Ball", "Enemy"]
    assert env.max_count.tolist() == [1, 1, 1]
    observation, info = env.reset(seed=0)
    shown = 0
    for _ in range(60):
        assert observation in env.observation_space
        objects = info["objects"]
        there = objects["track_id"] >= 0
        np.testing.assert_array_equal(observation[:, 0] > 0, there)
        np.testing.assert_array_equal(objects["category"], np.where(there, [0, 1, 2], -1))
        assert not observation[~there].any()
        centre = (objects["boxes"][:, :2] + objects["boxes"][:, 2:]) / 2 / [160, 210]
        np.testing.assert_allclose(observation[:, LAYOUT["where"]][:, :2], centre, atol=1e-6)
        shown += there.sum()
        observation, _, _, _, info = env.step(0)
    assert shown > 60


def test_agents_see_them_as_a_vector(monkeypatch):
    # OC_Atari needs an environment of its own, so a game of two kinds of objects stands in for it.
    ball = SimpleNamespace(category="Ball", xywh=(80, 105, 2, 4))
    oracle = SimpleNamespace(
        MAX_NB_OBJECTS={"Ball": 2, "Enemy": 1},
        _init_objects_ram=lambda hud: [ball],
        _detect_objects_ram=lambda objects, ram, hud: None,
    )
    monkeypatch.setitem(sys.modules, "ocatari.ram.pong", oracle)
    envs = make_envs(AgentConfig("Pong", "memory", checkpoint=None), 2, 0)
    vectors = envs.reset()
    assert vectors.shape == (2, 3 * 2 * 7)
    assert ((vectors == 1).sum(1) > 0).all()  # presence of the ball
    envs.close()
