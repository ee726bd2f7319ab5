"""The environments of an agent: the same game, steps and rewards, whatever it observes."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from stable_baselines3.common.atari_wrappers import ClipRewardEnv, EpisodicLifeEnv, FireResetEnv
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecTransposeImage

from silot_gym.agents.config import AgentConfig
from silot_gym.atari import make_atari
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
    change: Change | None = None,
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
        change: Wraps each game, below all else, to change how it looks or moves.
    """
    if config.obs == "pixels":
        pixels = make_atari_env(
            f"ALE/{config.game}-v5",
            count,
            seed,
            # SB3's pipeline but for the random number of no-ops, in place of sticky actions.
            wrapper_kwargs={"noop_max": 0},
            env_kwargs={"frameskip": 1, "render_mode": render_mode},
        )
        return VecTransposeImage(VecFrameStack(pixels, 4))

    def frames() -> gym.Env[Any, Any]:
        env = make_atari(config.game, render_mode=render_mode)
        return env if change is None else change(env)

    envs: VecEnv
    if config.obs == "memory":
        from silot_gym.baselines.memory_objects import MemoryObjects, MemoryVecWrapper

        def read(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            return MemoryObjects(for_training(env), config.game)

        envs = MemoryVecWrapper(make_vec_env(frames, count, seed, wrapper_class=read))
    elif config.obs == "components":
        from silot_gym.baselines.component_vec_wrapper import ComponentVecWrapper

        envs = make_vec_env(frames, count, seed, wrapper_class=for_training)
        assert config.checkpoint is not None  # only pixels do without
        envs = ComponentVecWrapper(envs, config.game, config.checkpoint, attributes=VIEW_ATTRIBUTES)
    else:
        envs = make_vec_env(frames, count, seed, wrapper_class=for_training)
        envs = SILOTVecWrapper(
            envs, checkpoint or config.checkpoint, attributes=VIEW_ATTRIBUTES, device=device
        )
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
