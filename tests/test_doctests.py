"""The examples in the docstrings run, with a checkpoint that comes with the package."""

import doctest

import pytest
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

import silot_gym
from silot_gym import sb3, vector, wrappers


@pytest.mark.parametrize("module", [wrappers, vector, sb3])
def test_examples_run(module):
    names = {
        "silot_gym": silot_gym,
        "SyncVectorEnv": SyncVectorEnv,
        "DummyVecEnv": DummyVecEnv,
    }
    failed, tried = doctest.testmod(module, extraglobs=names)
    assert tried >= 4
    assert not failed
