"""Slots: what a tracker shows of each frame, whatever it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from silot_gym.object_types import ObjectTypes

__all__ = ["Slots", "Tracker"]


@dataclass(frozen=True)
class Slots:
    """What is seen in one frame of each of B lanes, K slots a lane.

    A slot shows an object if its presence reaches the checkpoint's threshold. An empty slot is
    zero throughout, except that its `track_id` and `category` are -1.

    Attributes:
        presence: (B, K) float32 in [0, 1].
        where: (B, K, 4) float32 in [0, 1], centre x, centre y, width and height as fractions of
            the frame. A centre outside of the frame is moved to its edge.
        velocity: (B, K, 2) float32 in [-1, 1], what was added to the centre in `where` since the
            last step; 0 for a new object.
        depth: (B, K) float32 in [0, 1], larger is nearer.
        what: (B, K, A) float32 in [-1, 1], the appearance through tanh.
        track_id: (B, K) int64, the object's number in its lane, counted from 0 since the reset.
        boxes: (B, K, 4) float32, (x0, y0, x1, y1) in pixels, edges convention, clipped to the
            frame.
        category: (B, K) int64, the number of the object's type (`Checkpoint.types`), for which
            most of its track's frames speak, the last ones above all; -1 throughout if the
            checkpoint has no types.
    """

    presence: NDArray[np.float32]
    where: NDArray[np.float32]
    velocity: NDArray[np.float32]
    depth: NDArray[np.float32]
    what: NDArray[np.float32]
    track_id: NDArray[np.int64]
    boxes: NDArray[np.float32]
    category: NDArray[np.int64]

    def put(self, lanes: Sequence[int], other: "Slots") -> "Slots":
        """The same with the slots of `other` in some lanes."""
        changed = {name: value.copy() for name, value in vars(self).items()}
        for name, value in changed.items():
            value[lanes] = getattr(other, name)
        return Slots(**changed)

    def table(self, attributes: Sequence[str], num_types: int = 0) -> NDArray[np.float32]:
        """The named attributes side by side, (B, K, D), in the columns of `slot_layout`.

        `category` has a column for each of `num_types` types.
        """
        batch, num_slots = self.presence.shape
        columns = [
            self.category[..., None] == np.arange(num_types)
            if name == "category"
            else getattr(self, name).reshape(batch, num_slots, -1)
            for name in attributes
        ]
        return np.concatenate(columns, -1, dtype=np.float32)


class Tracker(Protocol):
    """What follows objects from frame to frame, in several streams side by side.

    Attributes:
        num_slots: K, the most objects that are tracked in a lane.
        what_dim: A, the length of an object's appearance.
        types: the types of objects, if they are known.
    """

    num_slots: int
    what_dim: int
    types: ObjectTypes | None

    def reset(self, lanes: Sequence[int] | None = None) -> None:
        """Forgets the tracks of some lanes, of all by default."""

    def step(self, frames: NDArray[np.uint8], lanes: Sequence[int] | None = None) -> Slots:
        """Follows the objects into the next frame of each lane; see `SlotTracker.step`."""
