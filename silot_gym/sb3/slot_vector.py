"""Slots as a vector, for agents with a plain network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from silot_gym.slot_rows import SlotRows

__all__ = ["SlotVector"]


class SlotVector(VecEnvWrapper):
    """Observes slots as a flat vector ordered by type, for a plain network (`MlpPolicy`).

    A weight of the network always reads the same kind of object, and the same object from step to
    step; see `SlotRows` for what stands where. For games with few objects of each type.

    Attributes:
        view: The `SlotRows`.

    Example:
        >>> envs = DummyVecEnv([lambda: silot_gym.make_atari("Pong")] * 2)
        >>> envs = SILOTVecWrapper(envs, attributes=("presence", "where", "velocity"))
        >>> envs = SlotVector(envs)
        >>> envs.reset().shape == (2, envs.view.rows.sum() * 2 * 7)
        True
        >>> envs.close()
    """

    def __init__(self, venv: VecEnv, rows: Sequence[int] | None = None, history: int = 2) -> None:
        """Wraps a `SILOTVecWrapper` that observes presence, where and velocity.

        Args:
            venv: Its checkpoint knows types of objects.
            rows: Rows for each type, or for all objects if the checkpoint knows no types; by
                default as many as there were objects of the type in a frame when types were found.
            history: Steps that are seen, this one included.

        Raises:
            ValueError: The environments don't observe what is needed, or an argument is below 1
                or not one for each type.
        """
        # VecEnvWrapper finds attributes of the wrappers below.
        layout, types = venv.slot_layout, venv.types  # type: ignore[attr-defined]
        self.view = SlotRows.over(
            venv.observation_space, layout, types, venv.num_envs, rows, history
        )
        super().__init__(venv, observation_space=self.view.space)

    def reset(self) -> NDArray[np.float32]:
        """Starts all episodes, with no object in any row."""
        slots: Any = self.venv.reset()
        self.reset_infos = self.venv.reset_infos
        lanes = np.arange(self.num_envs)
        self.view.forget(lanes)
        return self.view.observe(slots, [info["objects"] for info in self.venv.reset_infos], lanes)

    def step_wait(self) -> VecEnvStepReturn:
        """Acts, and gives objects that are new their rows."""
        slots: Any
        slots, rewards, dones, infos = self.venv.step_wait()
        last, ended = slots.copy(), np.flatnonzero(dones)
        for lane in ended:
            last[lane] = infos[lane]["terminal_observation"]
        lanes = np.arange(self.num_envs)
        vectors = self.view.observe(last, [info["objects"] for info in infos], lanes)
        for lane in ended:
            infos[lane]["terminal_observation"] = vectors[lane].copy()
        if len(ended):
            self.view.forget(ended)
            begun = [self.venv.reset_infos[lane]["objects"] for lane in ended]
            vectors[ended] = self.view.observe(slots[ended], begun, ended)
        return vectors, rewards, dones, infos
