"""How large a game's objects are, found from rollouts without labels."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from silot_gym.background import Background, to_packed, within
from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.model import ModelConfig
from silot_gym.rollouts import Episode

MEASURED = ("pixel_size", "anchor_size", "initial_size", "expected_size")
"""The fields of `ModelConfig` that `sized_for` sets."""


def sized_for(
    model: ModelConfig,
    object_size: tuple[float, float] | None,
    frame_size: tuple[int, int],
    crop_size: int,
    config: CalibrationConfig = DEFAULTS,
) -> ModelConfig:
    """The same model for objects of a typical size.

    Boxes that start much larger than objects grow over several of them, and much smaller ones
    take an object to pieces.

    Args:
        model: as it is; also where no size is known.
        object_size: width and height in pixels; see `typical_size`.
        frame_size: height and width of the frames.
        crop_size: side, in the model's pixels, of the crops to train on.
        config: factors and limits.
    """
    if object_size is None:
        return model
    pixel_size = math.ceil(max(object_size) / config.model_size)
    pixel_size = max(1, min(pixel_size, *(side // crop_size for side in frame_size)))
    typical = [max(config.least_size, side / pixel_size) for side in object_size]
    least_anchor, max_anchor = (
        config.least_anchor / pixel_size,
        config.anchor_of_crop * crop_size,
    )
    anchors = [min(max(config.anchor_factor * side, least_anchor), max_anchor) for side in typical]
    across, down = (
        (
            anchor,
            min(config.initial_factor * side, config.initial_of_anchor * anchor),
            min(config.expected_factor * side, anchor / 3),
        )
        for side, anchor in zip(typical, anchors, strict=True)
    )
    anchor_size, initial_size, expected_size = zip(across, down, strict=True)
    return replace(
        model,
        pixel_size=pixel_size,
        anchor_size=anchor_size,
        initial_size=initial_size,
        expected_size=expected_size,
    )


def typical_size(
    episodes: Sequence[Episode], background: Background, config: CalibrationConfig = DEFAULTS
) -> tuple[float, float] | None:
    """Width and height in pixels of what fills most of the foreground, and None if there is none.

    A picture that is moved by less than its objects' width still covers part of itself in the
    same colour; moved by more, it does so only by chance. The displacement from where on that is
    so is the width. What never changes and the HUD do not count.

    Args:
        episodes: to find it from.
        background: of the game, with its HUD.
        config: thresholds.
    """
    moving = background.with_static()
    step = max(1, sum(len(episode) for episode in episodes) // config.size_frames)
    across, down = np.zeros(config.size_reach), np.zeros(config.size_reach)
    first = step - 1
    for episode in episodes:
        palette = to_packed(episode.palette)
        chosen = range(first, len(episode), step)
        first += len(chosen) * step - len(episode)  # every so many frames, whatever their episode
        for frame in episode.frames[chosen]:
            packed = palette[frame]
            shown = moving.foreground(torch.from_numpy(packed)[None])[0].numpy()
            if shown.mean() > background.max_foreground:  # between scenes
                continue
            shown &= ~within(background.hud, *shown.shape).numpy()
            if shown.any():
                colours = np.where(shown, packed, -1)
                across += _overlap(colours, shown, config.size_reach) / shown.sum()
                down += _overlap(colours.T, shown.T, config.size_reach) / shown.sum()
    if not across[0]:
        return None
    width, height = (_fallen(sums / sums[0], config.size_floor) for sums in (across, down))
    return width, height


def _overlap(
    colours: NDArray[np.int32], shown: NDArray[np.bool_], reach: int
) -> NDArray[np.float64]:
    """How many foreground pixels have the colour of the one so many columns to their left."""
    width = colours.shape[1]
    return np.array(
        [
            np.count_nonzero((colours[:, k:] == colours[:, : width - k]) & shown[:, k:])
            for k in range(reach)
        ],
        float,
    )


def _fallen(correlation: NDArray[np.float64], floor: float) -> float:
    """The first displacement from which on a correlation has fallen to (nearly) its least."""
    least = correlation.min()
    return float(np.argmax(correlation <= least + floor * (1 - least)))
