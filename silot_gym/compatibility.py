"""Whether an environment and a checkpoint fit each other."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from silot_gym.atari import resolve_game
from silot_gym.checkpoint import Checkpoint, CheckpointError, bundled_for
from silot_gym.frames import FrameConfig

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

__all__ = [
    "Known",
    "check_frames",
    "frames_of_env",
    "frames_of_sb3",
    "frames_of_vector",
    "load_checkpoint",
    "rgb_size",
]

Known = dict[str, Any]
"""What is known of an environment's frames, by the names in `FrameConfig`."""


def rgb_size(space: gym.Space[Any]) -> tuple[int, int]:
    """Height and width of the frames in an observation space.

    Raises:
        ValueError: The space holds something else than uint8 RGB frames.
    """
    shape = space.shape or ()
    if not isinstance(space, Box) or space.dtype != np.uint8 or shape[2:] != (3,):
        kind = f"{space.dtype} {shape}" if isinstance(space, Box) else f"{space}"
        raise ValueError(
            f"expected observations that are uint8 RGB frames (height, width, 3), got {kind}: make "
            "the environment in RGB (obs_type='rgb', grayscale_obs=False, scale_obs=False), and "
            "stack or flatten frames only outside of this wrapper"
        )
    return shape[0], shape[1]


def load_checkpoint(checkpoint: str | Path | None, game: str | None, device: str) -> Checkpoint:
    """Loads a checkpoint by folder or name, or the one bundled for a game.

    Raises:
        CheckpointError: There is none, or it can't be read.
        ValueError: There is no such device.
    """
    if checkpoint is not None:
        return Checkpoint.load(checkpoint, device)
    if game is None:
        raise CheckpointError(
            "expected a checkpoint, got none and an environment that is no known Atari game: "
            "pass checkpoint= a folder"
        )
    return Checkpoint.load(bundled_for(game), device)


def check_frames(
    made_for: FrameConfig, known: Known, frame_size: tuple[int, int], strict: bool
) -> None:
    """Compares an environment's frames, as far as they are known, with a checkpoint's.

    Warns of each difference, or raises ValueError if `strict`.
    """
    found = []
    height, width = frame_size
    for name, got in {"height": height, "width": width, **known}.items():
        expected = getattr(made_for, name)
        if expected is None or got == expected:
            continue
        if name == "pooled" and not made_for.flickers:
            continue  # what is drawn is in both
        difference = f"the checkpoint was made for frames with {name}={expected!r}, got {got!r}"
        if name == "pooled" and expected:
            difference += ": objects that flicker are missed, make it with silot_gym.make_atari"
        found.append(difference)
    if found and strict:
        raise ValueError("; ".join(found))
    for difference in found:
        warnings.warn(difference, stacklevel=4)  # where the wrapper is made


def frames_of_env(env: gym.Env[Any, Any]) -> Known:
    """What can be told of an environment's frames."""
    arguments = _atari_arguments(env.spec)
    if not arguments:
        return {}
    frame_skip, pooled = arguments["frameskip"], False
    while isinstance(env, gym.Wrapper):
        # How AtariPreprocessing, MaxAndSkipObservation and SB3's MaxAndSkipEnv name it. All of
        # them take the maximum of the last two screens.
        inside = vars(env).get("frame_skip", vars(env).get("_skip", 1))
        if inside > 1:
            frame_skip, pooled = frame_skip * inside, True
        env = env.env
    return {"game": resolve_game(arguments["game"]), "frame_skip": frame_skip, "pooled": pooled}


def frames_of_vector(envs: VectorEnv[Any, Any, Any]) -> Known:
    """The same of the environments in a vector of them."""
    inside = envs.unwrapped
    if isinstance(inside, SyncVectorEnv):
        return frames_of_env(inside.envs[0])
    if isinstance(inside, AsyncVectorEnv):
        # Its environments are in other processes; it also makes one here, for the spaces.
        env = inside.env_fns[0]()
        known = frames_of_env(env)
        env.close()
        return known
    arguments = _atari_arguments(envs.spec)
    if not arguments:
        return {}
    return {  # ale-py's AtariVectorEnv, with its defaults
        "game": resolve_game(arguments["game"]),
        "frame_skip": arguments["frameskip"],
        "pooled": arguments.get("maxpool", True),
    }


def frames_of_sb3(envs: "VecEnv") -> Known:
    """The same of the environments in Stable-Baselines3's vector of them."""
    inside = getattr(envs.unwrapped, "envs", None)
    if inside:
        return frames_of_env(inside[0])

    def look_up(name: str) -> Any:
        # A worker that is asked for what it has not, or can't pickle (a spec), breaks down.
        return envs.get_attr(name, 0)[0] if envs.has_attr(name) else None

    game, frame_skip = look_up("_game"), look_up("_frameskip")
    if game is None or frame_skip is None:
        return {}
    skipped = look_up("frame_skip") or look_up("_skip") or 1
    return {
        "game": resolve_game(game),
        "frame_skip": frame_skip * skipped,
        "pooled": skipped > 1,
    }


def _atari_arguments(spec: EnvSpec | None) -> dict[str, Any]:
    """What one of ale-py's environments was made with; nothing of others."""
    return spec.kwargs if spec is not None and str(spec.entry_point).startswith("ale_py") else {}
