"""The examples in the docstrings run, with a checkpoint that comes with the package."""

import doctest

import pytest
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

import silot_gym
from silot_gym import sb3, slot_vector, vector, wrappers


@pytest.mark.parametrize(
    "module", [wrappers, vector, slot_vector, sb3.vec_wrapper, sb3.slot_vector]
)
def test_examples_run(module):
    names = {
        "silot_gym": silot_gym,
        "SyncVectorEnv": SyncVectorEnv,
        "DummyVecEnv": DummyVecEnv,
        "SILOTVecWrapper": sb3.SILOTVecWrapper,
    }
    failed, tried = doctest.testmod(module, extraglobs=names)
    assert tried >= 4
    assert not failed
