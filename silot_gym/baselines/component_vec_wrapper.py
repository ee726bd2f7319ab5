"""Connected components for Stable-Baselines3's vector environments."""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from silot_gym.atari import make_atari
from silot_gym.baselines.component_tracker import ComponentTracker
from silot_gym.calibration.types import find_types
from silot_gym.checkpoint import Checkpoint
from silot_gym.object_types import ObjectTypes
from silot_gym.rollouts.policies import RandomPolicy
from silot_gym.sb3 import SILOTVecWrapper

__all__ = ["ComponentVecWrapper"]

TYPE_FRAMES = 2_000
"""Frames of random play in which the types of components are found."""


class ComponentVecWrapper(SILOTVecWrapper):
    """Observes connected components in slots, as `SILOTVecWrapper` does the objects of SILOT.

    Their types are found as SILOT's are, from colour and size, in a short random play when the
    first environments of a game are made.
    """

    def __init__(
        self, venv: VecEnv, game: str, checkpoint: str, *, attributes: Sequence[str]
    ) -> None:
        """Wraps environments whose observations are RGB frames.

        Args:
            venv: As for `SILOTVecWrapper`.
            game: As ale-py spells it.
            checkpoint: Folder or bundled name of the checkpoint that says what is background, and
                how many slots there are.
            attributes: As for `SILOTVecWrapper`.
        """
        types = component_types(game, checkpoint)
        self._make_tracker = partial(ComponentTracker, types=types)  # type: ignore[method-assign]
        super().__init__(venv, checkpoint, attributes=attributes)


@cache
def component_types(game: str, checkpoint: str) -> ObjectTypes:
    """Types of components, the same each time."""
    env = make_atari(game)
    tracker = ComponentTracker(Checkpoint.load(checkpoint))
    policy = RandomPolicy(env)
    policy.start(0)
    frame, _ = env.reset(seed=0)
    seen: list[list[Any]] = []
    first = last = 0
    for t in range(TYPE_FRAMES):
        slots = tracker.step(frame[None])
        shown = slots.track_id >= 0
        ids = first + slots.track_id[shown]
        seen.append([slots.what[shown], slots.where[shown][:, 2:], ids, np.full(len(ids), t)])
        last = max(last, int(ids.max(initial=0)))
        frame, _, terminated, truncated, _ = env.step(policy.action(frame))
        if terminated or truncated:
            frame, _ = env.reset()
            tracker.reset()
            first = last + 1
    env.close()
    return find_types(*(np.concatenate(part) for part in zip(*seen, strict=True)))
