"""How good a checkpoint is, in figures and to the eye, on episodes that it was not trained on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from silot_gym.background import within
from silot_gym.checkpoint import Checkpoint
from silot_gym.draw import SCALE, draw_objects, enlarge
from silot_gym.evaluation.connected_components import annotate
from silot_gym.evaluation.protocol import PAPER, clips, score
from silot_gym.evaluation.trackers import slot_tracks
from silot_gym.frames import FrameConfig
from silot_gym.observations import objects_info
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts import Episode

CLIP_LENGTH = 8
"""Frames of a clip, in the paper."""
NUM_SLOTS = 128
"""K in the paper's evaluation on Atari."""
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
    figures = score(truth, slot_tracks(cropped, seen, progress=progress))
    unseen = slot_tracks(cropped, seen, unseen_from=PREDICTION_START, progress=progress)
    late = score(
        [tracks.after(PREDICTION_START) for tracks in truth],
        [tracks.after(PREDICTION_START) for tracks in unseen],
    )
    return {**figures, **{f"prior_{name}": value for name, value in late.items()}}


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
    seen = frames.background.with_static().removed(clip)
    hud = within(frames.background.hud, frames.height, frames.width).numpy()
    seen[:, hud] = frames.background.colour
    return seen


def paper_view(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint for frames that are cropped as in the paper, where all objects count."""
    frames = checkpoint.frames.window(*_crop(checkpoint.frames))
    play = replace(checkpoint.play, ignore_hud=False, ignore_static=False)
    cropped = checkpoint.with_calibration(frames=frames, num_slots=NUM_SLOTS)
    return replace(cropped, play=play)


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
