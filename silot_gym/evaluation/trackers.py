"""The trackers that the benchmarks compare, each from sequences of frames to tracks.

SILOT as agents see it, and two that are simpler: ConnComp, connected regions linked over time, and
SPAIR, which looks at each frame by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from silot_gym.background import Colour
from silot_gym.boxes import clip_boxes
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.connected_components import connected_components, link
from silot_gym.evaluation.tracks import Tracks
from silot_gym.linking import MAX_STEP
from silot_gym.model.rendering import is_drawn
from silot_gym.model.selection import give_up_duplicates, select
from silot_gym.tracker import SlotTracker


def slot_tracks(checkpoint: Checkpoint, sequences: NDArray[np.uint8]) -> list[Tracks]:
    """What the wrapper would show: ids, presence threshold and number of slots are those of play.

    Args:
        checkpoint: The model.
        sequences: (S, T, H, W, 3) uint8 RGB, each followed from its first frame to its last.

    Returns:
        The tracks of each sequence, with presence as confidence.
    """
    tracker = SlotTracker(checkpoint, lanes=len(sequences))
    steps = [tracker.step(frames) for frames in sequences.swapaxes(0, 1)]
    boxes, ids, presence = (
        np.stack([getattr(slots, name) for slots in steps], 1)
        for name in ("boxes", "track_id", "presence")
    )
    boxes = np.where(ids[..., None] >= 0, boxes, np.float32(np.nan))  # as `Tracks` has it
    return [Tracks(*sequence) for sequence in zip(boxes, ids, presence, strict=True)]


@torch.inference_mode()
def spair_tracks(
    checkpoint: Checkpoint, sequences: NDArray[np.uint8], least_presence: float
) -> list[Tracks]:
    """The baseline SPAIR: discovery alone, frame by frame, linked by distance between centres.

    Discovery has the weights that it was trained to as a part of SILOT, not weights of its own. It
    sees each frame as the first of a sequence, and every cell may show an object of its own.

    Args:
        checkpoint: The model.
        sequences: (S, T, H, W, 3) uint8 RGB.
        least_presence: Objects of lower presence are left out; they would take the ids of others.

    Returns:
        The tracks of each sequence, with presence as confidence, boxes clipped to the frame.
    """
    model = checkpoint.model
    device = model.discovery.initial_hidden.device
    height, width = sequences.shape[2:4]
    tracks = []
    for frames in sequences:
        boxes, presence = [], []
        for frame in frames:
            seen = checkpoint.frames.prepare(torch.from_numpy(frame[None]).to(device))
            claims = model.step(seen, None).discovered
            assert claims is not None  # discovery was not left out
            nothing = model.empty_objects(1, claims.presence.shape[1])
            found = select(nothing, claims, in_play=True)
            fitted = model.boxes(found, is_drawn(seen))
            found = give_up_duplicates(found, fitted)
            confidence = found.presence[0].float().cpu().numpy()
            shown = confidence >= least_presence
            boxes.append(clip_boxes(fitted[0].cpu().numpy()[shown], height, width))
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
