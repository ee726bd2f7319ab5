"""Whether an environment and a checkpoint fit each other."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import AtariPreprocessing, Autoreset, MaxAndSkipObservation

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
    "named",
    "refuse_autoreset",
    "rgb_size",
]

Known = dict[str, Any]
"""What is known of an environment's frames, by the names in `FrameConfig`."""


_SKIPPING: dict[type[gym.Wrapper[Any, Any, Any, Any]], str] = {
    AtariPreprocessing: "frame_skip",
    MaxAndSkipObservation: "_skip",
}
"""Wrappers that skip frames and take the maximum of the last two screens, and where they say how
many."""


def rgb_size(space: gym.Space[Any]) -> tuple[int, int]:
    """Height and width of the frames in an observation space.

    Raises:
        ValueError: The space holds something else than uint8 RGB frames.
    """
    shape = space.shape or ()
    if isinstance(space, Box) and len(shape) == 3 and shape[0] == 3 and shape[2] > 4:
        raise ValueError(
            f"expected frames with channels last, (height, width, 3), got {shape}: leave out what "
            "moves the channels (VecTransposeImage), or put it outside of this wrapper"
        )
    if not isinstance(space, Box) or space.dtype != np.uint8 or shape[2:] != (3,):
        kind = f"{space.dtype} {shape}" if isinstance(space, Box) else f"{space}"
        raise ValueError(
            f"expected observations that are uint8 RGB frames (height, width, 3), got {kind}: make "
            "the environment in RGB (obs_type='rgb', grayscale_obs=False, scale_obs=False), and "
            "stack or flatten frames only outside of this wrapper"
        )
    return shape[0], shape[1]


def named(checkpoint: "str | Path | Checkpoint | None") -> str | None:
    """A checkpoint as the text by which a wrapper can be made again; None for none.

    Raises:
        CheckpointError: It is one that was made or changed in memory.
    """
    if not isinstance(checkpoint, Checkpoint):
        return None if checkpoint is None else str(checkpoint)
    if checkpoint.folder is None:
        raise CheckpointError(
            "expected a checkpoint that was loaded from a folder, got one that was made or changed "
            "in memory: save it and pass its folder, so that the environment can be made again"
        )
    return str(checkpoint.folder)


def load_checkpoint(checkpoint: str | None, game: str | None, device: str) -> Checkpoint:
    """Loads a checkpoint by folder or name, or the one bundled for a game.

    Raises:
        CheckpointError: There is none, or it can't be read.
        ValueError: There is no such device.
    """
    if checkpoint is not None:
        return Checkpoint.load(checkpoint, device)
    if game is None:
        raise CheckpointError(
            "expected a checkpoint, got none and an environment that does not tell which Atari "
            "game it is: pass checkpoint= a folder or the name of a bundled one"
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
    if strict and made_for.game is not None and "game" not in known:
        found.append(
            f"the checkpoint was made for {made_for.game}, and the environment does not tell its "
            "game: make it with gym.make, gym.make_vec or silot_gym.make_atari"
        )
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
        # How the wrappers in `_SKIPPING` and SB3's MaxAndSkipEnv name it.
        inside = vars(env).get("frame_skip", vars(env).get("_skip", 1))
        if inside > 1:
            frame_skip, pooled = frame_skip * inside, True
        env = env.env
    return {"game": resolve_game(arguments["game"]), "frame_skip": frame_skip, "pooled": pooled}


def frames_of_vector(envs: VectorEnv[Any, Any, Any]) -> list[Known]:
    """The same of the environments in a vector of them: one entry for each kind that there is."""
    inside = envs.unwrapped
    if isinstance(inside, SyncVectorEnv):
        return _kinds(frames_of_env(env) for env in inside.envs)
    if isinstance(inside, AsyncVectorEnv):
        # Its environments are in other processes; it also makes one here, for the spaces.
        return _kinds(_frames_made_by(make) for make in dict.fromkeys(inside.env_fns))
    arguments = _atari_arguments(envs.spec)
    if not arguments:
        return [{}]
    return [
        {  # ale-py's AtariVectorEnv, with its defaults
            "game": resolve_game(arguments["game"]),
            "frame_skip": arguments["frameskip"],
            "pooled": arguments.get("maxpool", True),
        }
    ]


def frames_of_sb3(envs: "VecEnv") -> list[Known]:
    """The same of the environments in Stable-Baselines3's vector of them."""
    inside = getattr(envs.unwrapped, "envs", None)
    if inside:
        return _kinds(frames_of_env(env) for env in inside)

    from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv

    # A worker that is asked for what it has not, or can't pickle (a spec), breaks down.
    if not (envs.has_attr("_game") and envs.has_attr("_frameskip")):
        return [{}]
    skipped = [1] * envs.num_envs
    for kind, name in {**_SKIPPING, MaxAndSkipEnv: "_skip"}.items():
        lanes = [lane for lane, inside in enumerate(envs.env_is_wrapped(kind)) if inside]
        for lane, value in zip(lanes, envs.get_attr(name, lanes) if lanes else (), strict=True):
            skipped[lane] *= value
    return _kinds(
        {"game": resolve_game(game), "frame_skip": frame_skip * inside, "pooled": inside > 1}
        for game, frame_skip, inside in zip(
            envs.get_attr("_game"), envs.get_attr("_frameskip"), skipped, strict=True
        )
    )


def refuse_autoreset(env: gym.Env[Any, Any]) -> None:
    """Raises ValueError if episodes begin inside of an environment without a `reset`."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Autoreset):
            raise ValueError(
                "expected an environment without Autoreset inside, whose new episodes nobody is "
                "told of: wrap it outside, Autoreset(SILOTObjectWrapper(env))"
            )
        env = env.env


def _kinds(found: Iterable[Known]) -> list[Known]:
    """Each different one, in the order in which they came."""
    kinds: list[Known] = []
    for known in found:
        if known not in kinds:
            kinds.append(known)
    return kinds


def _frames_made_by(make: Callable[[], gym.Env[Any, Any]]) -> Known:
    env = make()
    try:
        return frames_of_env(env)
    finally:
        env.close()


def _atari_arguments(spec: EnvSpec | None) -> dict[str, Any]:
    """What one of ale-py's environments was made with; nothing of others."""
    return spec.kwargs if spec is not None and str(spec.entry_point).startswith("ale_py") else {}
