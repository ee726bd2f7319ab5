"""A small world in the place of a game, whose episodes are known beforehand."""

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from silot_gym.agents.config import AgentConfig
from silot_gym.agents.settings import SETTINGS

SMALL = {
    "ppo": {"n_steps": 10, "batch_size": 20, "n_epochs": 1},
    "a2c": {"n_steps": 5},
    "dqn": {"learning_starts": 20, "buffer_size": 200, "batch_size": 8},
}


class Toy(gym.Env):
    """Episodes of ten steps; each step of lane n is rewarded with n + 1."""

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(4)
    length = 10

    def __init__(self, lane):
        self.lane = lane

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.now = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.now += 1
        done = self.now == self.length
        return self.observation_space.sample(), self.lane + 1.0, done, False, {}


def make_envs(config, count, seed, **kwargs):
    """Like `silot_gym.agents.envs.make_envs`."""
    return DummyVecEnv([lambda n=n: Monitor(Toy(n)) for n in range(count)])


def small_config(algo="ppo", steps=400, **changes):
    """An agent that is quick to train."""
    settings = SETTINGS[algo](**{"net_arch": (8,)} | SMALL[algo] | changes)
    return AgentConfig("Pong", checkpoint="Pong", algo=algo, settings=settings, steps=steps, envs=2)
