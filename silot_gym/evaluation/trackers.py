"""The trackers that the benchmarks compare, each from sequences of frames to tracks.

SILOT as agents see it, and two that are simpler: ConnComp, connected regions linked over time, and
SPAIR, which looks at each frame by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from silot_gym.background import Colour
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.connected_components import connected_components, link
from silot_gym.evaluation.tracks import Tracks
from silot_gym.linking import MAX_STEP
from silot_gym.play.tracker import SlotTracker
from silot_gym.slots import Slots

SPAIR_SLOTS = 128
"""Objects that SPAIR may find in a frame: as many as the paper gives SILOT."""


def slot_tracks(
    checkpoint: Checkpoint,
    sequences: Sequence[NDArray[np.uint8]],
    *,
    lanes: int = 8,
    unseen_from: int | None = None,
    progress: bool = False,
) -> list[Tracks]:
    """What the wrapper would show: the tracker that ships, on each sequence from its first frame.

    Args:
        checkpoint: The model.
        sequences: Each (T, H, W, 3) uint8 RGB, all of one shape.
        lanes: Sequences that are tracked side by side.
        unseen_from: The frame from which on the learned prior predicts without seeing frames (3
            in the paper); None for never.
        progress: Whether to show a progress bar.

    Returns:
        The tracks of each sequence, with presence as confidence.
    """
    found: list[Tracks] = []
    for first in tqdm(range(0, len(sequences), lanes), "tracking", disable=not progress):
        batch = np.stack(sequences[first : first + lanes], 1)  # (T, lanes, H, W, 3)
        tracker = SlotTracker(checkpoint, lanes=batch.shape[1])
        steps = [
            tracker.step(frames) if unseen_from is None or t < unseen_from else tracker.predict()
            for t, frames in enumerate(batch)
        ]
        found += _tracks(steps)
    return found


def _tracks(steps: Sequence[Slots]) -> list[Tracks]:
    """The tracks of each lane."""
    boxes, ids, presence = (
        np.stack([getattr(slots, name) for slots in steps], 1)
        for name in ("boxes", "track_id", "presence")
    )
    boxes = np.where(ids[..., None] >= 0, boxes, np.float32(np.nan))  # as `Tracks` has it
    return [Tracks(*lane) for lane in zip(boxes, ids, presence, strict=True)]


def spair_tracks(
    checkpoint: Checkpoint,
    sequences: Sequence[NDArray[np.uint8]],
    least_presence: float,
    *,
    lanes: int = 8,
) -> list[Tracks]:
    """The baseline SPAIR: discovery alone, frame by frame, linked by distance between centres.

    Discovery has the weights that it was trained to as a part of SILOT, not weights of its own. It
    sees each frame as the first of a sequence, and gets the same steps of play that SILOT gets
    (`checkpoint.play`).

    Args:
        checkpoint: The model.
        sequences: Each (T, H, W, 3) uint8 RGB.
        least_presence: Objects of lower presence are left out; they would take the ids of others.
        lanes: Frames that are looked at side by side.

    Returns:
        The tracks of each sequence, with presence as confidence, boxes clipped to the frame.
    """
    play = replace(checkpoint.play, presence_threshold=least_presence)
    alone = replace(checkpoint, play=play).with_calibration(num_slots=SPAIR_SLOTS)
    tracks = []
    for sequence in sequences:
        boxes, presence = [], []
        for first in range(0, len(sequence), lanes):
            frames = sequence[first : first + lanes]
            slots = SlotTracker(alone, lanes=len(frames)).step(frames)
            for shown, box, confidence in zip(
                slots.track_id >= 0, slots.boxes, slots.presence, strict=True
            ):
                boxes.append(box[shown])
                presence.append(confidence[shown])
        linked = link(boxes, MAX_STEP)
        tracks.append(
            Tracks.from_frames(boxes, [ids[ids >= 0] for ids in linked.track_id], presence)
        )
    return tracks


@dataclass(frozen=True)
class Components:
    """The baseline ConnComp with its settings.

    Attributes:
        background: The colour that belongs to no object.
        least_contrast: In [0, 3]; colours whose channels, each in [0, 1], differ from the
            background's by less in all are background as well.
        connectivity: 4 if pixels touch by edges only, 8 if by corners too.
        max_step: Farthest that an object moves between frames, in pixels.
        one_colour: Whether a region has one colour, as in the paper's scenes of coloured shapes; if
            not, all pixels that touch belong together, as in those of digits.
    """

    background: Colour
    least_contrast: float = 0.0
    connectivity: Literal[4, 8] = 8
    max_step: float = MAX_STEP
    one_colour: bool = True

    def tracks(self, sequences: Iterable[NDArray[np.uint8]]) -> list[Tracks]:
        """The tracks of sequences, each (T, H, W, 3) uint8 RGB, with confidence 1."""
        return [
            connected_components(
                self._regions_apart(frames),
                self.background,
                connectivity=self.connectivity,
                max_step=self.max_step,
            )
            for frames in sequences
        ]

    def _regions_apart(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames in which a region has one exact colour, and the background has its own."""
        background = np.array(self.background, np.uint8)
        contrast = np.abs(frames.astype(np.int16) - background).sum(axis=-1) / 255
        is_background = (contrast < self.least_contrast) | (contrast == 0)
        regions = frames if self.one_colour else 255 - background
        return np.where(is_background[..., None], background, regions)


def tuned_components(
    sequences: Sequence[NDArray[np.uint8]],
    background: Colour,
    quality: Callable[[list[Tracks]], float],
) -> Components:
    """ConnComp with the settings that do best on some sequences.

    Simpler than the paper's tuning, which picks a threshold for each metric and number of objects
    from a fine grid: one choice among regions of one colour or of any, 4 contrasts, both
    connectivities and 3 step lengths. Of equals the first is taken.

    Args:
        sequences: Each (T, H, W, 3) uint8 RGB.
        background: The colour that belongs to no object.
        quality: Of the tracks of these sequences; larger is better.
    """
    connectivities: tuple[Literal[4, 8], ...] = (8, 4)
    candidates = [
        Components(background, contrast, connectivity, max_step, one_colour)
        for one_colour, contrast, connectivity, max_step in product(
            (True, False), (0.0, 0.25, 0.5, 1.0), connectivities, (MAX_STEP, 20.0, 10.0)
        )
    ]
    return max(candidates, key=lambda candidate: quality(candidate.tracks(sequences)))
