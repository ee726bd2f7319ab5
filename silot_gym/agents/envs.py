"""The environments of an agent: the same game, steps and rewards, whatever it observes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
from stable_baselines3.common.atari_wrappers import (
    AtariWrapper,
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecTransposeImage

from silot_gym.agents.config import AgentConfig
from silot_gym.atari import PooledFrames, make_atari
from silot_gym.sb3 import SILOTVecWrapper, SlotVector

VIEW_ATTRIBUTES = ("presence", "where", "velocity", "category")
"""What views of objects are made from."""

Change = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]


def make_envs(
    config: AgentConfig,
    count: int,
    seed: int,
    *,
    device: str = "cpu",
    render_mode: str | None = None,
    checkpoint: str | None = None,
    look: Change | None = None,
    dynamics: Change | None = None,
) -> VecEnv:
    """Environments that differ between kinds of observation in what is observed and nothing else.

    All are played as Stable-Baselines3 does: rewards are clipped to their sign, an episode ends
    with a lost life, and FIRE is pressed where that starts a game. `info["episode"]` tells the
    score of whole games, unclipped, which is what counts as return everywhere. Sticky actions are
    on, so that episodes differ, and frames are the maximum of the last two screens.

    Args:
        config: The agent's.
        count: How many.
        seed: Of the first; others have the next ones.
        device: Where SILOT runs, as torch names it.
        render_mode: As in `gym.make`.
        checkpoint: Folder or name of a checkpoint in place of the configuration's.
        look: Wraps each game's frames, below what sees them, to change how it looks.
        dynamics: Wraps each game at every emulator frame, to change how things move.

    Raises:
        ValueError: There is a checkpoint for an agent that needs none.
    """
    if checkpoint is not None:
        if config.checkpoint is None:
            raise ValueError(f"expected no checkpoint for an agent on {config.obs}: {checkpoint}")
        config = replace(config, checkpoint=checkpoint)

    def frames() -> gym.Env[Any, Any]:
        env = make_atari(config.game, render_mode=render_mode)
        if dynamics is not None:
            game = gym.make(f"ALE/{config.game}-v5", frameskip=1, render_mode=render_mode)
            env = PooledFrames(dynamics(game))
        return env if look is None else look(env)

    if config.obs == "pixels":
        # SB3's pipeline but for the random number of no-ops, in place of sticky actions. Frames are
        # skipped already: what counts the steps of episodes sees those of the agent.
        shrink = {"noop_max": 0, "frame_skip": 1}
        pixels = make_vec_env(
            frames, count, seed, wrapper_class=AtariWrapper, wrapper_kwargs=shrink
        )
        return VecTransposeImage(VecFrameStack(pixels, 4))

    envs: VecEnv
    if config.obs == "memory":
        from silot_gym.baselines.memory_objects import MemoryObjects, MemoryVecWrapper

        def read(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            return MemoryObjects(for_training(env), config.game)

        envs = MemoryVecWrapper(make_vec_env(frames, count, seed, wrapper_class=read))
    elif config.obs == "components":
        from silot_gym.baselines.component_vec_wrapper import ComponentVecWrapper

        envs = make_vec_env(frames, count, seed, wrapper_class=for_training)
        assert config.checkpoint is not None  # as `AgentConfig.resolve` has it
        envs = ComponentVecWrapper(envs, config.game, config.checkpoint, attributes=VIEW_ATTRIBUTES)
    else:
        envs = make_vec_env(frames, count, seed, wrapper_class=for_training)
        envs = SILOTVecWrapper(envs, config.checkpoint, attributes=VIEW_ATTRIBUTES, device=device)
    return SlotVector(envs, config.rows) if config.view == "vector" else envs


def for_training(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """A game as agents are trained on it: what SB3's `AtariWrapper` does besides shrinking frames.

    An episode ends with a lost life, FIRE is pressed where that starts a game, and rewards are
    clipped to their sign.
    """
    env = EpisodicLifeEnv(env)
    if "FIRE" in env.get_wrapper_attr("get_action_meanings")():
        env = FireResetEnv(env)
    return ClipRewardEnv(env)
