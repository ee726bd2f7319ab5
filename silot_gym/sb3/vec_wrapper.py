"""Tracked objects for Stable-Baselines3's vector environments."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from silot_gym.background import Region
from silot_gym.checkpoint import Checkpoint
from silot_gym.compatibility import frames_of_sb3
from silot_gym.observations import ATTRIBUTES, SlotObserver
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import SlotTracker
from silot_gym.slots import Tracker

__all__ = ["SILOTVecWrapper"]


class SILOTVecWrapper(VecEnvWrapper):
    """Observes the tracked objects of several environments, in one forward pass a step.

    Each environment's observation is that of a `SILOTObjectWrapper` of its own, and so is
    `info["objects"]`. Where an episode ends, SB3 resets at once: `terminal_observation` and
    `info["objects"]` are what was seen last of the old one, the observation and the lane's
    `reset_infos` what is seen first of the new one.

    Attributes:
        slot_layout: The columns of each attribute in an observation.
        types: The types of objects that the checkpoint knows; None if it knows none.
        frames: (lanes, height, width, 3) uint8, what was looked at last.

    Example:
        >>> envs = DummyVecEnv([lambda: silot_gym.make_atari("SpaceInvaders")] * 2)
        >>> envs = SILOTVecWrapper(envs, num_slots=50)
        >>> envs.reset().shape
        (2, 50, 40)
        >>> envs.close()
    """

    def __init__(
        self,
        venv: VecEnv,
        checkpoint: str | Path | Checkpoint | None = None,
        *,
        num_slots: int | None = None,
        attributes: Sequence[str] = ATTRIBUTES,
        flatten: bool = False,
        include_pixels: bool = False,
        ignore: Sequence[Region] | None = None,
        play: PlayConfig | Mapping[str, Any] | None = None,
        device: str = "cpu",
        strict: bool = False,
    ) -> None:
        """Wraps environments whose observations are RGB frames; see `SILOTObjectWrapper`.

        Raises:
            CheckpointError: The checkpoint is missing or damaged.
            ValueError: An argument or the environments' observation space doesn't fit.
        """
        self._observer = SlotObserver(
            checkpoint,
            frames_of_sb3(venv),
            venv.observation_space,
            lanes=venv.num_envs,
            num_slots=num_slots,
            attributes=attributes,
            flatten=flatten,
            include_pixels=include_pixels,
            ignore=ignore,
            play=play,
            device=device,
            strict=strict,
            make_tracker=self._make_tracker,
        )
        self.types = self._observer.types
        self.slot_layout = self._observer.layout
        super().__init__(venv, observation_space=self._observer.space)

    @staticmethod
    def _make_tracker(*arguments: Any) -> Tracker:
        """What follows the objects; a subclass may put something else in SILOT's place."""
        return SlotTracker(*arguments)

    def reset(self) -> VecEnvObs:
        """Forgets all tracks, then looks at the first frames."""
        self._observer.tracker.reset()
        self.frames = np.asarray(self.venv.reset())
        observed: VecEnvObs
        observed, slots = self._observer.observe(self.frames)
        self.reset_infos = [
            {**info, "objects": self._observer.info(slots, lane)}
            for lane, info in enumerate(self.venv.reset_infos)
        ]
        return observed

    def step_wait(self) -> VecEnvStepReturn:
        """Acts, then follows the objects into the next frames."""
        observed: Any
        observed, rewards, dones, infos = self.venv.step_wait()
        self.frames = np.asarray(observed)
        finals = {int(lane): infos[lane]["terminal_observation"] for lane in np.flatnonzero(dones)}
        observed, slots, ended, last = self._observer.observe_through_resets(self.frames, finals)
        for lane, info in enumerate(infos):
            info["objects"] = self._observer.info(last, lane)
        for lane, observation in ended.items():
            infos[lane]["terminal_observation"] = observation
            begun = {"objects": self._observer.info(slots, lane)}
            self.reset_infos[lane] = self.venv.reset_infos[lane] | begun
        return observed, rewards, dones, infos

    def close(self) -> None:
        """Releases the model and closes the environments."""
        self._observer.close()
        super().close()
