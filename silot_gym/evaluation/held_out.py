"""How good a checkpoint is, in figures and to the eye, on episodes that it was not trained on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from silot_gym.background import within
from silot_gym.checkpoint import Checkpoint
from silot_gym.draw import SCALE, draw_objects, enlarge
from silot_gym.evaluation.connected_components import annotate
from silot_gym.evaluation.predict import predict
from silot_gym.evaluation.protocol import PAPER, clips, score
from silot_gym.frames import FrameConfig
from silot_gym.observations import objects_info
from silot_gym.rollouts import Episode
from silot_gym.tracker import SlotTracker

CLIP_LENGTH = 8
"""Frames of a clip, in the paper."""
PREDICTION_START = 3
"""First frame that the learned prior predicts, in the paper."""


def paper_protocol(
    checkpoint: Checkpoint,
    episodes: Sequence[Episode],
    *,
    num_clips: int = 128,
    progress: bool = False,
) -> dict[str, float]:
    """Figures under the paper's protocol (section 4.3): clips of 8 frames, connected components.

    Args:
        checkpoint: the model; a game of the paper is cropped as there, of others only what play
            shows counts.
        episodes: held out from training.
        num_clips: clips to score, always the same ones of the same episodes.
        progress: whether to show progress bars.

    Returns:
        The figures of `score`, and with the prefix `prior_` those of frames that the learned
        prior predicts without seeing them (from the fourth on).
    """
    seen = paper_clips(checkpoint.frames, episodes, num_clips)
    truth = [annotate(clip, checkpoint.frames.background.colour) for clip in seen]
    cropped = paper_view(checkpoint)
    figures = score(truth, predict(cropped, seen, progress=progress))
    unseen = predict(cropped, seen, unseen_from=PREDICTION_START, progress=progress)
    late = score(
        [tracks.after(PREDICTION_START) for tracks in truth],
        [tracks.after(PREDICTION_START) for tracks in unseen],
    )
    return {**figures, **{f"prior_{name}": value for name, value in late.items()}}


def enough_slots(
    checkpoint: Checkpoint, episodes: Sequence[Episode], *, num_frames: int = 64, slots: int = 128
) -> int:
    """K for play: a quarter more than the most objects found in a frame (the paper's rule).

    Args:
        checkpoint: the model.
        episodes: some of their frames are looked at, one by one.
        num_frames: how many, about.
        slots: the most that K may be.
    """
    step = max(1, sum(len(episode) for episode in episodes) // num_frames)
    tracker, most = SlotTracker(checkpoint, num_slots=slots), 1
    for episode in episodes:
        for t in range(0, len(episode) - 1, step):
            tracker.reset()
            # A second look settles what the first one was in doubt of.
            *_, shown = (tracker.step(frame[None]) for frame in episode.rgb(t, t + 2))
            most = max(most, int((shown.track_id >= 0).sum()))
    return min(slots, math.ceil(1.25 * most))


def paper_clips(
    frames: FrameConfig, episodes: Sequence[Episode], num_clips: int
) -> list[NDArray[np.uint8]]:
    """Clips (8, height, width, 3) of held-out episodes, cropped as in the paper.

    The paper's games are black behind what counts; others are as seen in play.
    """
    top, bottom, left, right = _crop(frames)
    seen = [
        np.ascontiguousarray(episodes[i].rgb(start, start + CLIP_LENGTH)[:, top:bottom, left:right])
        for i, start in clips([len(episode) for episode in episodes], num_clips, CLIP_LENGTH)
    ]
    return seen if frames.game in PAPER else [seen_in_play(frames, clip) for clip in seen]


def seen_in_play(frames: FrameConfig, clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A clip (T, height, width, 3) in which all that play leaves out has the background's colour.

    That is background, score, lives and clocks, and small things that are always the same.
    """
    seen = frames.background.without_stills().removed(clip)
    displays = within(frames.background.displays, frames.height, frames.width).numpy()
    seen[:, displays] = frames.background.colour
    return seen


def paper_view(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, for frames that are cropped as in the paper."""
    frames = checkpoint.frames
    return replace(checkpoint, frames=frames.window(*_crop(frames)))


def _crop(frames: FrameConfig) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what the paper uses of a frame; all of it in other games."""
    paper = PAPER.get(frames.game or "")
    return paper.crop if paper else (0, frames.height, 0, frames.width)


def overlay(
    checkpoint: Checkpoint,
    episode: Episode,
    *,
    length: int = 120,
    scale: int = SCALE,
    unseen_from: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Pictures of an episode: each frame with its objects drawn on it, beside its reconstruction.

    Args:
        checkpoint: the model.
        episode: what is shown.
        length: how many of its first frames to show.
        scale: of the pictures.
        unseen_from: the frame from which on the learned prior predicts without seeing frames;
            None for never.

    Yields:
        (scale * height, 2 * scale * width, 3) uint8.
    """
    tracker = SlotTracker(checkpoint)
    for t, frame in enumerate(episode.rgb(0, min(length, len(episode)))):
        unseen = unseen_from is not None and t >= unseen_from
        slots = tracker.predict() if unseen else tracker.step(frame[None])
        drawn = draw_objects(frame, objects_info(slots, 0, checkpoint.types), scale)
        seen = tracker.reconstruct(frame[None])[0]
        yield np.concatenate([drawn, enlarge(seen, scale)], 1)


def summary(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures rounded for a file."""
    return {name: round(float(value), 4) for name, value in figures.items()}
