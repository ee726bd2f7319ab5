"""Atari environments whose frames show every object.

Many games draw a sprite on every other emulator frame only. With plain frame skipping such
objects blink or are never seen at all: `ALE/Asteroids-v5` shows no rock at frame skip 4.
`make_atari` therefore takes the maximum of the last two screens of each step.
"""

import difflib
import types
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import AtariPreprocessing

__all__ = ["PooledFrames", "make_atari", "resolve_game"]

_INSTALL = 'pip install "silot_gym[atari]"'


class PooledFrames(AtariPreprocessing):
    """The maximum of the last two screens of each step, in RGB at the game's native size.

    Everything else that gymnasium's `AtariPreprocessing` can do (no-op starts, resizing, grayscale,
    scaling, ending at a lost life) is off.
    """

    def __init__(self, env: gym.Env[Any, Any], frame_skip: int = 4) -> None:
        """Wraps an unpooled Atari environment.

        Args:
            env: An environment of ale-py, made with `frameskip=1`.
            frame_skip: Emulator frames a step, at least 2.
        """
        # Recorded first, so that `env.spec` holds these arguments and not those of the parent,
        # whose tuple `screen_size` comes back from JSON as a list that the parent refuses.
        RecordConstructorArgs.__init__(self, frame_skip=frame_skip)
        height, width, _ = _rgb_shape(env)
        super().__init__(
            env,
            noop_max=0,
            frame_skip=frame_skip,
            screen_size=(width, height),
            terminal_on_life_loss=False,
            grayscale_obs=False,
            scale_obs=False,
        )


def make_atari(
    game: str, *, pooled: bool = True, frame_skip: int = 4, **kwargs: Any
) -> gym.Env[Any, Any]:
    """Makes an Atari environment with RGB observations, uint8 of shape (height, width, 3).

    Frames keep the game's native size: 160 wide, 210 high in most games and up to 250 in some.
    Sticky actions stay at the environment's default (probability .25).

    Args:
        game: Any spelling that `resolve_game` accepts.
        pooled: Whether an observation is the maximum of the last two screens, which makes
            flickering objects visible. If False, the environment is that of plain `gym.make`.
        frame_skip: Emulator frames a step; at least 2 if pooled, else at least 1.
        **kwargs: Passed to `gym.make`, for example `full_action_space`, `render_mode` or
            `repeat_action_probability`. `max_episode_steps` are steps of what is returned (in
            `env.spec` of pooled environments, they are emulator frames).

    Returns:
        The environment, which also survives `env.spec` -> JSON -> `gym.make`.

    Raises:
        ImportError: ale-py is missing, or OpenCV is and `pooled` is set.
        ValueError: The game is unknown, `frame_skip` is too small, or `kwargs` ask for
            observations that are no RGB frames.
    """
    least = 2 if pooled else 1
    if frame_skip < least:
        raise ValueError(f"expected frame_skip >= {least} with pooled={pooled}, got {frame_skip}")
    if pooled and kwargs.get("max_episode_steps") is not None:
        # The limit is below what skips frames, and counts those of the emulator.
        kwargs["max_episode_steps"] *= frame_skip
    if "frameskip" in kwargs:
        raise ValueError("make_atari has its own frame_skip argument: pass that, not frameskip")
    name = f"ALE/{resolve_game(game)}-v5"
    if not pooled:
        env = gym.make(name, frameskip=frame_skip, **kwargs)
        _rgb_shape(env)
        return env
    try:
        import cv2  # noqa: F401  (gymnasium needs it, but only says so in an error of its own kind)
    except ImportError as error:
        raise ImportError(f"pooled Atari frames need OpenCV: {_INSTALL}") from error
    return PooledFrames(gym.make(name, frameskip=1, **kwargs), frame_skip)


def resolve_game(name: str) -> str:
    """Finds the game that is meant by any usual spelling of its name.

    Args:
        name: For example `SpaceInvaders`, `space_invaders`, `space-invaders`, `spaceinvaders` or
            `ALE/SpaceInvaders-v5`.

    Returns:
        The name as in the environment's id, for example `SpaceInvaders`.

    Raises:
        ImportError: ale-py is missing.
        ValueError: ale-py has no such game; the message names the closest ones.
    """
    gym.register_envs(_import_ale())
    ids = [spec.name for spec in gym.registry.values() if spec.namespace == "ALE"]
    games = {_normalise(game): game for game in ids}
    wanted = _normalise(name)
    if wanted not in games:
        closest = difflib.get_close_matches(wanted, games, n=3, cutoff=0.0)
        raise ValueError(
            f"unknown Atari game {name!r}: expected one of the {len(games)} games of ale-py, "
            f"closest are {', '.join(games[key] for key in closest)}"
        )
    return games[wanted]


def _normalise(name: str) -> str:
    """Strips from a game's name whatever differs between its spellings."""
    bare = name.strip().lower().removeprefix("ale/").removesuffix("-v5")
    return bare.replace("_", "").replace("-", "").replace(" ", "")


def _import_ale() -> types.ModuleType:
    """Imports ale-py, late, so that `silot_gym` can be used without it."""
    try:
        import ale_py
    except ImportError as error:
        raise ImportError(f"Atari games need ale-py: {_INSTALL}") from error
    # Without this, the emulator greets on stderr in each process.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py


def _rgb_shape(env: gym.Env[Any, Any]) -> tuple[int, int, int]:
    """Checks that the observations are RGB frames and returns (height, width, 3)."""
    space = env.observation_space
    shape = space.shape or ()
    if space.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise ValueError(
            f"expected RGB frames, uint8 of shape (height, width, 3), got observations in {space}; "
            "leave obs_type and sound_obs at their defaults"
        )
    return shape[0], shape[1], shape[2]
