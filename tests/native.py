"""Pong in ale-py's own vector environment."""

from typing import Any

import ale_py
import gymnasium as gym
from gymnasium.vector import VectorEnv

gym.register_envs(ale_py)


def native_pong(**kwargs: Any) -> VectorEnv:
    """Two lanes, with frames as the wrapper takes them unless `kwargs` say otherwise."""
    frames = {"grayscale": False, "stack_num": 1, "img_height": 210, "img_width": 160}
    return gym.make_vec(
        "ALE/Pong-v5",
        num_envs=2,
        vectorization_mode="vector_entry_point",
        reward_clipping=False,
        **(frames | kwargs),
    )
