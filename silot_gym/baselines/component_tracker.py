"""Connected components as a tracker for agents: ConnComp in the place of SILOT, live."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.measure import label

from silot_gym.background import Region, pack_colours, within
from silot_gym.checkpoint import Checkpoint
from silot_gym.linking import MAX_STEP, closest_pairs
from silot_gym.object_types import ObjectTypes, TypeVotes
from silot_gym.slots import Slots

__all__ = ["ComponentTracker"]

COLOUR_STEP = 0.3
"""Most that a channel of a region's mean colour, from -1 to 1, changes between frames: two objects
that touch become one region, which is neither of them."""


class ComponentTracker:
    """Takes connected regions of what is no background for objects, and links them over time.

    It has `SlotTracker`'s interface and sees the same foreground: background, displays and small
    still things are those of the checkpoint, whose model is not used. Regions hang together over
    edges or corners, whatever their colours: in pooled frames, a sprite that moves has several,
    and regions of one colour would cut it up. From frame to frame, the one-to-one assignment with
    the smallest sum of distances between centres decides which region goes on in which slot; none
    moves further than 30 pixels or changes its mean colour much. An object's `what` is its mean
    colour, each channel from -1 to 1.
    """

    what_dim = 3

    def __init__(
        self,
        checkpoint: Checkpoint,
        lanes: int = 1,
        num_slots: int | None = None,
        frame_size: tuple[int, int] | None = None,
        ignore: Sequence[Region] | None = None,
        *,
        types: ObjectTypes | None = None,
    ) -> None:
        """Starts with no tracks.

        Args:
            checkpoint: For its background.
            lanes: Number of streams.
            num_slots: Slots a lane; the checkpoint's number by default. The largest regions count.
            frame_size: Height and width of the frames; the checkpoint's by default.
            ignore: As for `SlotTracker`.
            types: Types of objects by colour and size, if they are known.
        """
        frames = checkpoint.frames
        self._background, ignored = checkpoint.play.background(frames.background, ignore)
        self.lanes, self.num_slots = lanes, num_slots or checkpoint.num_slots
        self.types = types
        self._height, self._width = frame_size or (frames.height, frames.width)
        self._seen = ~within(ignored, self._height, self._width)
        self._votes = (
            None
            if types is None
            else TypeVotes(types, lanes, self.num_slots, checkpoint.play.vote_decay)
        )
        self._ids = np.full((lanes, self.num_slots), -1)
        self._centre = np.zeros((lanes, self.num_slots, 2), np.float32)
        self._colour = np.zeros((lanes, self.num_slots, 3), np.float32)
        self._next_id = np.zeros(lanes, np.int64)

    def reset(self, lanes: Sequence[int] | None = None) -> None:
        """Forgets the tracks of some lanes, of all by default."""
        rows = slice(None) if lanes is None else list(lanes)
        self._ids[rows] = -1
        self._next_id[rows] = 0

    def step(self, frames: NDArray[np.uint8], lanes: Sequence[int] | None = None) -> Slots:
        """Follows the regions into the next frame of each lane; see `SlotTracker.step`."""
        chosen = list(range(self.lanes) if lanes is None else lanes)
        packed = pack_colours(torch.from_numpy(np.ascontiguousarray(frames)))
        foreground = (self._background.foreground(packed) & self._seen).numpy()
        boxes = np.zeros((len(chosen), self.num_slots, 4), np.float32)
        what = np.zeros((len(chosen), self.num_slots, 3), np.float32)
        velocity = np.zeros((len(chosen), self.num_slots, 2), np.float32)
        new = np.zeros((len(chosen), self.num_slots), bool)
        for n, lane in enumerate(chosen):
            regions, means = self._regions(foreground[n], frames[n])
            slots, new[n], velocity[n] = self._link(lane, regions, means)
            boxes[n, slots], what[n, slots] = regions, means
        extent = np.array([self._width, self._height], np.float32)
        size = (boxes[..., 2:] - boxes[..., :2]) / extent
        shown = self._ids[chosen] >= 0
        category = np.full(shown.shape, -1)
        if self._votes is not None:
            category = self._votes.cast(chosen, what, size, shown, new)
        centre = (boxes[..., :2] + boxes[..., 2:]) / (2 * extent)
        return Slots(
            presence=shown.astype(np.float32),
            where=np.concatenate([centre, size], -1),
            velocity=velocity / extent,
            depth=np.zeros(shown.shape, np.float32),
            what=what,
            track_id=self._ids[chosen],
            boxes=boxes,
            category=category,
        )

    def _regions(
        self, foreground: NDArray[np.bool_], frame: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (R, 4) and mean colours (R, 3) of the largest regions."""
        labels = label(foreground, connectivity=2)  # type: ignore[no-untyped-call]
        extents = ndimage.find_objects(labels)
        boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in extents], np.float32)
        boxes = boxes.reshape(-1, 4)
        numbers, pixels = labels[foreground] - 1, frame[foreground]
        count = np.bincount(numbers, minlength=len(boxes))
        total = [np.bincount(numbers, pixels[:, c], minlength=len(boxes)) for c in range(3)]
        means = np.stack(total, -1) / count[:, None] * 2 / 255 - 1
        largest = np.sort((-count).argsort(kind="stable")[: self.num_slots])
        return boxes[largest], means[largest].astype(np.float32)

    def _link(
        self, lane: int, boxes: NDArray[np.float32], colours: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.float32]]:
        """Slots (R,) of the regions; which of all slots (K,) are new; and their moves (K, 2)."""
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        held = np.flatnonzero(self._ids[lane] >= 0)
        distance = cdist(centres, self._centre[lane, held])
        distance[cdist(colours, self._colour[lane, held], "chebyshev") > COLOUR_STEP] = np.inf
        regions, places = closest_pairs(distance, MAX_STEP)
        slots = np.full(len(boxes), -1)
        slots[regions] = held[places]
        born = np.flatnonzero(slots < 0)
        slots[born] = np.setdiff1d(np.arange(self.num_slots), slots)[: len(born)]

        move = np.zeros((self.num_slots, 2), np.float32)
        move[slots[regions]] = centres[regions] - self._centre[lane, slots[regions]]
        ids = np.full(self.num_slots, -1)
        ids[slots[regions]] = self._ids[lane, slots[regions]]
        ids[slots[born]] = self._next_id[lane] + np.arange(len(born))
        self._next_id[lane] += len(born)
        self._ids[lane] = ids
        self._centre[lane, slots], self._colour[lane, slots] = centres, colours
        new = np.zeros(self.num_slots, bool)
        new[slots[born]] = True
        return slots, new, move
