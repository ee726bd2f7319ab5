"""Slots as one vector in which an object keeps its place and types keep theirs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box
from numpy.typing import NDArray

from silot_gym.object_types import FIND, ObjectTypes

__all__ = ["SlotRows"]

VELOCITY_SCALE = 10.0
"""A tenth of the frame in a step becomes 1: few objects are faster, and slow ones still count."""
_LOW = np.array([0, -1, -1, 0, 0, -1, -1], np.float32)
"""Least values of presence, centre, size and velocity in a row; the largest are 1."""


class SlotRows:
    """Gives tracked objects rows of a flat vector, in several lanes side by side.

    There is a fixed number of rows for each type of object, types in their order. An object gets
    the first free row of its type, older objects first, and keeps it while it is tracked. Objects
    for which there is no row are left out. Where no types are known, all objects are of the first.

    A row has, for this step and each of `history - 1` steps before, the object's presence in
    [0, 1]; centre x and y from -1 (left, top) to 1; width and height in [0, 1] of the frame; and
    velocity x and y, where 1 is a tenth of the frame in a step or more. A row without an object,
    or a step before the object was found, is zeros.

    Attributes:
        rows: (T,) int64, rows for each of T types.
        space: of one lane's vector, (rows * history * 7,) float32.
        slot: (lanes, R) int64, the slot of the object in each row; -1 for none.
    """

    def __init__(
        self,
        lanes: int,
        num_slots: int,
        layout: Mapping[str, slice],
        rows: Sequence[int] | NDArray[np.int64],
        history: int = 2,
    ) -> None:
        """Starts without objects.

        Args:
            lanes: Number of streams.
            num_slots: K, slots of each.
            layout: Columns of a slot's attributes; presence, where and velocity are needed.
            rows: Rows for each type.
            history: Steps that are seen, this one included.

        Raises:
            ValueError: An attribute is missing, or there is no row or step.
        """
        needed = ("presence", "where", "velocity")
        if not {*needed} <= {*layout}:
            raise ValueError(f"expected slots with {needed}, got {tuple(layout)}")
        self.rows = np.asarray(rows, np.int64)
        if history < 1 or self.rows.ndim != 1 or self.rows.sum() < 1 or (self.rows < 0).any():
            raise ValueError(f"expected rows and history of at least 1, got {rows} and {history}")
        self._columns = np.concatenate([np.r_[layout[name]] for name in needed])
        self._row_type = np.repeat(np.arange(len(self.rows)), self.rows)
        count = len(self._row_type)
        low = np.tile(_LOW, count * history)
        self.space = Box(low, np.ones_like(low))
        self.slot = np.full((lanes, count), -1)
        self._row_id = np.full((lanes, count), -1)
        self._ids = np.full((history, lanes, num_slots), -1)
        self._seen = np.zeros((history, lanes, num_slots, len(_LOW)), np.float32)

    @classmethod
    def over(
        cls,
        space: Space[Any],
        layout: Mapping[str, slice],
        types: ObjectTypes | None,
        lanes: int,
        rows: Sequence[int] | None,
        history: int,
    ) -> "SlotRows":
        """Rows for what a wrapper of this package observes.

        Args:
            space: Of one lane's slots.
            layout: The wrapper's `slot_layout`.
            types: The wrapper's types of objects.
            lanes: Number of streams.
            rows: Rows for each type, or for all objects if no types are known; by default as many
                as there were objects of the type in a frame when types were found.
            history: Steps that are seen, this one included.

        Raises:
            ValueError: The observations are no slots (K, D), there are no types to tell how many
                rows there should be, or an argument is below 1 or not one for each type.
        """
        if not isinstance(space, Box) or len(space.shape) != 2:
            raise ValueError(
                f"expected slots (K, D), got {type(space).__name__} {space.shape}: leave flatten "
                "and include_pixels at False"
            )
        if rows is None:
            if types is None:
                raise ValueError(
                    "expected a checkpoint with types of objects, got one without: "
                    f"{FIND}, or say how many rows with rows=[...]"
                )
            rows = types.max_count.tolist()
        expected = 1 if types is None else len(types.max_count)
        if len(rows) != expected:
            raise ValueError(f"expected rows for each of {expected} types, got {tuple(rows)}")
        return cls(lanes, space.shape[0], layout, rows, history)

    def forget(self, lanes: NDArray[np.intp]) -> None:
        """Empties all rows of some lanes."""
        self._row_id[lanes] = -1
        self._ids[:, lanes] = -1

    def observe(
        self,
        slots: NDArray[np.float32],
        objects: Sequence[Mapping[str, NDArray[Any]]],
        lanes: NDArray[np.intp],
    ) -> NDArray[np.float32]:
        """Moves some lanes on by a step.

        Args:
            slots: (n, K, D) of n lanes.
            objects: What `info["objects"]` says of each; `track_id` and `category` are used.
            lanes: (n,) which these are.

        Returns:
            Their vectors, (n, rows * history * 7).
        """
        ids = np.stack([of_lane["track_id"] for of_lane in objects])
        category = np.maximum(0, np.stack([of_lane["category"] for of_lane in objects]))
        seen = slots[..., self._columns]
        seen[..., 1:3] = 2 * seen[..., 1:3] - (ids >= 0)[..., None]
        seen[..., 5:] = np.clip(VELOCITY_SCALE * seen[..., 5:], -1, 1)
        self._ids[:, lanes] = np.concatenate([ids[None], self._ids[:-1, lanes]])
        self._seen[:, lanes] = np.concatenate([seen[None], self._seen[:-1, lanes]])

        slot = self.slot[lanes] = self._assign(ids, category, lanes)
        # A slot that held another object then has nothing to say of this one.
        own = (self._ids[:, lanes] == ids) & (ids >= 0)
        known = np.where(own[..., None], self._seen[:, lanes], np.float32(0))
        rows = np.take_along_axis(known, np.maximum(slot, 0)[None, ..., None], 2)
        rows *= (slot >= 0)[None, ..., None]  # (history, n, R, 7)
        return rows.transpose(1, 2, 0, 3).reshape(len(lanes), -1)

    def without(self, vectors: NDArray[np.float32], row: int) -> NDArray[np.float32]:
        """Vectors (n, rows * history * 7) as they would be if there was no object in a row."""
        changed = vectors.reshape(len(vectors), len(self._row_type), -1).copy()
        changed[:, row] = 0
        return changed.reshape(vectors.shape)

    def _assign(
        self, ids: NDArray[np.int64], category: NDArray[np.int64], lanes: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """The slot of the object in each row, (n, R); -1 for none."""
        stays = (self._row_id[lanes][:, :, None] == ids[:, None]) & (ids >= 0)[:, None]
        stays &= self._row_type[:, None] == category[:, None]  # (n, R, K)
        slot = np.where(stays.any(2), stays.argmax(2), -1)
        without_row = (ids >= 0) & ~stays.any(1)
        for n in np.flatnonzero(without_row.any(1)):
            new = np.flatnonzero(without_row[n])
            for k in new[ids[n, new].argsort()]:
                free = (slot[n] < 0) & (self._row_type == category[n, k])
                if free.any():
                    slot[n, free.argmax()] = k
        ids_in_rows = np.take_along_axis(ids, np.maximum(slot, 0), 1)
        self._row_id[lanes] = np.where(slot >= 0, ids_in_rows, -1)
        return slot
