"""Slots as one vector in which an object keeps its place and types keep theirs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

__all__ = ["SlotVector"]

VELOCITY_SCALE = 10.0
"""A tenth of the frame in a step becomes 1: few objects are faster, and slow ones still count."""
_FEATURES = 7  # presence, centre, size, velocity


class SlotVector(VecEnvWrapper):
    """Observes slots as a flat vector, for a plain network (`MlpPolicy`).

    The vector has a fixed number of rows for each type of object, types in their order. An object
    gets the first free row of its type, older objects first, and keeps that row while it is
    tracked, so that a weight of the network always reads the same kind of object, and the same
    object from step to step. Objects for which there is no row are left out.

    A row has, for this step and each of `history - 1` steps before, the object's presence in
    [0, 1]; centre x and y from -1 (left, top) to 1; width and height in [0, 1] of the frame; and
    velocity x and y, where 1 is a tenth of the frame in a step or more. A row without an object,
    or a step before the object was found, is zeros.

    Example:
        >>> envs = DummyVecEnv([lambda: silot_gym.make_atari("Pong")] * 2)
        >>> envs = SILOTVecWrapper(envs, attributes=("presence", "where", "velocity", "category"))
        >>> envs = SlotVector(envs)
        >>> envs.reset().shape == (2, envs.rows.sum() * 14)
        True
        >>> envs.close()
    """

    def __init__(
        self, venv: VecEnv, rows: Sequence[int] | None = None, history: int = 2
    ) -> None:
        """Wraps a `SILOTVecWrapper` that observes presence, where and velocity.

        Args:
            venv: Its infos hold `objects` with `track_id` and `category`.
            rows: Rows for each type; by default as many as there were objects of the type in a
                frame when types were found.
            history: Steps that are seen, this one included.

        Raises:
            ValueError: The environments don't observe what is needed, or an argument is below 1.
        """
        layout: Mapping[str, slice] = venv.slot_layout
        missing = {"presence", "where", "velocity"} - set(layout)
        space = venv.observation_space
        if missing or not isinstance(space, Box) or len(space.shape) != 2:
            raise ValueError(
                "expected slots (K, D) with presence, where and velocity, got "
                f"{tuple(layout)} in {space}: leave flatten and include_pixels at False"
            )
        if rows is None:
            rows = venv.types.most
        self.rows = np.asarray(rows, np.int64)
        if history < 1 or self.rows.ndim != 1 or self.rows.sum() < 1 or (self.rows < 0).any():
            raise ValueError(f"expected rows and history of at least 1, got {rows} and {history}")
        self._columns = np.r_[layout["presence"], layout["where"], layout["velocity"]]
        self._row_type = np.repeat(np.arange(len(self.rows)), self.rows)
        self._history = history
        low = np.array([0, -1, -1, 0, 0, -1, -1], np.float32)
        shape = len(self._row_type), history, 1
        bounds = Box(np.tile(low, shape).ravel(), np.ones(np.prod(shape) * 7, np.float32))
        super().__init__(venv, observation_space=bounds)
        lanes, slots = venv.num_envs, space.shape[0]
        self.slot = np.full((lanes, len(self._row_type)), -1)
        self._row_id = np.full((lanes, len(self._row_type)), -1)
        self._ids = np.full((history, lanes, slots), -1)
        self._seen = np.zeros((history, lanes, slots, _FEATURES), np.float32)

    def reset(self) -> NDArray[np.float32]:
        """Starts all episodes, with no object in any row."""
        slots = self.venv.reset()
        lanes = np.arange(self.num_envs)
        self._forget(lanes)
        return self._look(slots, [info["objects"] for info in self.venv.reset_infos], lanes)

    def step_wait(self) -> VecEnvStepReturn:
        """Acts, and gives objects that are new their rows."""
        slots, rewards, dones, infos = self.venv.step_wait()
        last, ended = slots.copy(), np.flatnonzero(dones)
        for lane in ended:
            last[lane] = infos[lane]["terminal_observation"]
        lanes = np.arange(self.num_envs)
        vectors = self._look(last, [info["objects"] for info in infos], lanes)
        for lane in ended:
            infos[lane]["terminal_observation"] = vectors[lane].copy()
        if len(ended):
            self._forget(ended)
            begun = [self.venv.reset_infos[lane]["objects"] for lane in ended]
            vectors[ended] = self._look(slots[ended], begun, ended)
        return vectors, rewards, dones, infos

    def without(self, vectors: NDArray[np.float32], row: int) -> NDArray[np.float32]:
        """The vectors (N, D) as they would be if there was no object in a row."""
        changed = vectors.reshape(len(vectors), len(self._row_type), -1).copy()
        changed[:, row] = 0
        return changed.reshape(vectors.shape)

    def _forget(self, lanes: NDArray[np.intp]) -> None:
        self._row_id[lanes] = -1
        self._ids[:, lanes] = -1

    def _look(
        self,
        slots: NDArray[np.float32],
        objects: Sequence[Mapping[str, NDArray[Any]]],
        lanes: NDArray[np.intp],
    ) -> NDArray[np.float32]:
        """The vectors of some lanes after a step of theirs."""
        ids = np.stack([of_lane["track_id"] for of_lane in objects])
        category = np.stack([of_lane["category"] for of_lane in objects])
        seen = slots[..., self._columns]
        seen[..., 1:3] = 2 * seen[..., 1:3] - (ids >= 0)[..., None]
        seen[..., 5:] = np.clip(VELOCITY_SCALE * seen[..., 5:], -1, 1)
        self._ids[:, lanes] = np.concatenate([ids[None], self._ids[:-1, lanes]])
        self._seen[:, lanes] = np.concatenate([seen[None], self._seen[:-1, lanes]])

        self.slot[lanes] = self._assign(ids, category, lanes)
        slot = self.slot[lanes]
        index = np.maximum(slot, 0)
        # A slot that held another object then has nothing to say of this one.
        own = (self._ids[:, lanes] == ids) & (ids >= 0)
        known = np.where(own[..., None], self._seen[:, lanes], np.float32(0))
        rows = np.take_along_axis(known, index[None, ..., None], 2)  # (history, N, R, 7)
        rows *= (slot >= 0)[None, ..., None]
        return rows.transpose(1, 2, 0, 3).reshape(len(lanes), -1)

    def _assign(
        self, ids: NDArray[np.int64], category: NDArray[np.int64], lanes: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """The slot of the object in each row, (N, R), -1 for none."""
        row_id = self._row_id[lanes]
        stays = (row_id[:, :, None] == ids[:, None]) & (ids >= 0)[:, None]
        stays &= self._row_type[:, None] == category[:, None]  # (N, R, K)
        slot = np.where(stays.any(2), stays.argmax(2), -1)
        homeless = (ids >= 0) & ~stays.any(1)
        for n in np.flatnonzero(homeless.any(1)):
            new = np.flatnonzero(homeless[n])
            for k in new[ids[n, new].argsort()]:
                free = (slot[n] < 0) & (self._row_type == category[n, k])
                if free.any():
                    slot[n, free.argmax()] = k
        self._row_id[lanes] = np.where(slot >= 0, np.take_along_axis(ids, np.maximum(slot, 0), 1), -1)
        return slot
