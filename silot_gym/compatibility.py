"""Whether an environment and a checkpoint fit each other."""

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from silot_gym.atari import resolve_game
from silot_gym.checkpoint import Checkpoint, CheckpointError
from silot_gym.frames import FrameConfig

__all__ = ["check_frames", "load_checkpoint", "one_of", "rgb_size"]


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


def one_of(envs: Any) -> gym.Env[Any, Any] | None:
    """One environment of a vector of them, if they are in this process."""
    inside = getattr(envs.unwrapped, "envs", None)
    return inside[0] if inside else None


def load_checkpoint(
    checkpoint: str | Path | None, env: gym.Env[Any, Any] | None, device: str
) -> Checkpoint:
    """Loads a checkpoint by folder or name, or the one bundled for the environment's game.

    Raises:
        CheckpointError: There is none, or it can't be read.
        ValueError: There is no such device.
    """
    if checkpoint is not None:
        return Checkpoint.load(checkpoint, device)
    game = None if env is None else _known_frames(env).get("game")
    if game is None:
        raise CheckpointError(
            "expected a checkpoint, got none and an environment that is no known Atari game: "
            "pass checkpoint= a folder"
        )
    try:
        return Checkpoint.load(game, device)
    except CheckpointError as error:
        raise CheckpointError(
            f"no checkpoint is bundled for {game}: make one with "
            f"`python pretrain/collect_and_train.py --game {game}` and pass its folder"
        ) from error


def check_frames(
    made_for: FrameConfig,
    env: gym.Env[Any, Any] | None,
    frame_size: tuple[int, int],
    strict: bool,
) -> None:
    """Compares an environment's frames, as far as they are known, with a checkpoint's.

    Warns of each difference, or raises ValueError if `strict`.
    """
    found = []
    known: dict[str, Any] = {"height": frame_size[0], "width": frame_size[1]}
    for name, got in (known | ({} if env is None else _known_frames(env))).items():
        expected = getattr(made_for, name)
        if expected is None or got == expected:
            continue
        difference = f"the checkpoint was made for frames with {name}={expected!r}, got {got!r}"
        if name == "pooled" and expected:
            difference += ": objects that flicker are missed, make it with silot_gym.make_atari"
        found.append(difference)
    if found and strict:
        raise ValueError("; ".join(found))
    for difference in found:
        warnings.warn(difference, stacklevel=4)  # where the wrapper is made


def _known_frames(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """What can be told of an environment's frames, by the names in `FrameConfig`."""
    arguments = env.spec.kwargs if env.spec is not None else {}
    if not {"game", "frameskip"} <= arguments.keys():
        return {}
    frame_skip, pooled = arguments["frameskip"], False
    while isinstance(env, gym.Wrapper):
        # How AtariPreprocessing, MaxAndSkipObservation and SB3's MaxAndSkipEnv name it. All of
        # them take the maximum of the last two screens.
        inside = vars(env).get("frame_skip", vars(env).get("_skip", 1))
        if inside > 1:
            frame_skip, pooled = frame_skip * inside, True
        env = env.env
    game = resolve_game(arguments["game"])
    return {"game": game, "frame_skip": frame_skip, "pooled": pooled}
