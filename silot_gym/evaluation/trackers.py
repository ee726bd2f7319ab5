"""The trackers that the benchmarks compare, each from sequences of frames to tracks.

SILOT as agents see it, and two that are simpler: ConnComp, regions of one colour linked over time,
and SPAIR, which looks at each frame by itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from silot_gym.background import Colour
from silot_gym.boxes import clip_boxes
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.connected_components import (
    annotate,
    connected_components,
    link,
)
from silot_gym.evaluation.tracking import tracking_metrics
from silot_gym.evaluation.tracks import Tracks
from silot_gym.model.selection import select
from silot_gym.tracker import SlotTracker

MAX_STEP = 30.0
"""Farthest that an object may move between frames, in pixels, as in the paper's baselines."""


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
            confidence = found.presence[0].float().cpu().numpy()
            shown = confidence >= least_presence
            boxes.append(clip_boxes(model.boxes(found)[0].cpu().numpy()[shown], height, width))
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
    """

    background: Colour
    least_contrast: float = 0.0
    connectivity: Literal[4, 8] = 8
    max_step: float = MAX_STEP

    def tracks(self, sequences: Iterable[NDArray[np.uint8]]) -> list[Tracks]:
        """The tracks of sequences, each (T, H, W, 3) uint8 RGB, with confidence 1."""
        return [
            connected_components(
                self._without_faint(frames),
                self.background,
                connectivity=self.connectivity,
                max_step=self.max_step,
            )
            for frames in sequences
        ]

    def _without_faint(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        background = np.array(self.background, np.uint8)
        contrast = np.abs(frames.astype(np.int16) - background).sum(axis=-1) / 255
        return np.where(contrast[..., None] < self.least_contrast, background, frames)


def tuned_components(clips: Sequence[NDArray[np.uint8]], background: Colour) -> Components:
    """ConnComp with the settings that do best on clips, which should not be those of the score.

    Simpler than the paper's tuning, which picks a threshold for each metric and number of objects
    from a fine grid: one choice by MOTA, against the paper's truth (`annotate`), among 4
    contrasts, both connectivities and 3 step lengths. Of equals the first is taken.

    Args:
        clips: Each (T, H, W, 3) uint8 RGB.
        background: The colour that belongs to no object.
    """
    connectivities: tuple[Literal[4, 8], ...] = (8, 4)
    candidates = [
        Components(background, contrast, connectivity, max_step)
        for contrast, connectivity, max_step in product(
            (0.0, 0.25, 0.5, 1.0), connectivities, (MAX_STEP, 20.0, 10.0)
        )
    ]
    truth = [annotate(clip, background) for clip in clips]
    return max(candidates, key=lambda one: tracking_metrics(truth, one.tracks(clips)).mota)
