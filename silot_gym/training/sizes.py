"""How large a game's objects are, found from rollouts without labels."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from silot_gym.background import Background, to_packed, within
from silot_gym.model import ModelConfig
from silot_gym.rollouts import Episode

MEASURED = ("pixel_size", "anchor_size", "initial_size", "expected_size")
"""The fields of `ModelConfig` that `fitted_to` sets."""
_FRAMES = 100
"""How many frames are looked at, about."""
_REACH = 72
"""Displacement in pixels up to which frames are compared with themselves."""
_FLOOR = 0.2
"""How far above the least that it falls to a correlation counts as fallen."""
_LARGE = 24
"""Pixels of the model that the longer side of what is typical has at most."""
_SMALL = 6.0
"""Pixels that neither side should have less of: boxes have to find what they are for."""
_START, _EXPECTED, _ANCHOR = 1.5, 0.5, 2.0
"""Size of boxes before training, mean of their prior, and largest size, in typical sizes."""
_LEAST_ANCHOR = 24.0
"""Pixels of the frame that no largest side is below."""
_OF_CROP, _OF_ANCHOR = 5 / 6, 0.9
"""Largest side as a share of a crop's, lest one object explains all in it; and start, of that."""


def fitted_to(
    config: ModelConfig, episodes: Sequence[Episode], background: Background, crop_size: int
) -> ModelConfig:
    """The same model for a game with objects of the size that its rollouts show.

    Boxes that start much larger than objects grow over several of them, and much smaller ones
    take an object to pieces.

    Args:
        config: of the model.
        episodes: see `typical_size`.
        background: see `typical_size`.
        crop_size: side, in the model's pixels, of the crops to train on.
    """
    size = typical_size(episodes, background)
    if size is None:
        return config
    height, width = episodes[0].frames.shape[1:]
    pixel_size = math.ceil(max(size) / _LARGE)
    pixel_size = max(1, min(pixel_size, height // crop_size, width // crop_size))
    typical = [max(_SMALL, side / pixel_size) for side in size]
    anchors = [
        min(max(_ANCHOR * side, _LEAST_ANCHOR / pixel_size), _OF_CROP * crop_size)
        for side in typical
    ]
    across, down = (
        (anchor, min(_START * side, _OF_ANCHOR * anchor), min(_EXPECTED * side, anchor / 3))
        for side, anchor in zip(typical, anchors, strict=True)
    )
    anchor_size, initial_size, expected_size = zip(across, down, strict=True)
    return replace(
        config,
        pixel_size=pixel_size,
        anchor_size=anchor_size,
        initial_size=initial_size,
        expected_size=expected_size,
    )


def typical_size(episodes: Sequence[Episode], background: Background) -> tuple[float, float] | None:
    """Width and height in pixels of what fills most of what is drawn, and None if nothing is.

    A picture that is moved by less than its objects' width still covers part of itself in the
    same colour; moved by more, it does so only by chance. The displacement from where on that is
    so is the width. What never changes or is a display (see `find_displays`) does not count.

    Args:
        episodes: to find it from.
        background: of the game, with its displays.
    """
    moving = background.without_stills()
    step = max(1, sum(len(episode) for episode in episodes) // _FRAMES)
    across, down = np.zeros(_REACH), np.zeros(_REACH)
    first = step - 1
    for episode in episodes:
        palette = to_packed(episode.palette)
        chosen = range(first, len(episode), step)
        first += len(chosen) * step - len(episode)  # every so many frames, whatever their episode
        for frame in episode.frames[chosen]:
            packed = palette[frame]
            drawn = moving.drawn(torch.from_numpy(packed)[None])[0].numpy()
            if drawn.mean() > background.most_drawn:  # between scenes
                continue
            drawn &= ~within(background.displays, *drawn.shape).numpy()
            if drawn.any():
                colours = np.where(drawn, packed, -1)
                across += _overlap(colours, drawn) / drawn.sum()
                down += _overlap(colours.T, drawn.T) / drawn.sum()
    if not across[0]:
        return None
    return _fallen(across / across[0]), _fallen(down / down[0])


def _overlap(colours: NDArray[np.int32], drawn: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many drawn pixels have the colour of the one so many columns to their left."""
    width = colours.shape[1]
    return np.array(
        [
            np.count_nonzero((colours[:, k:] == colours[:, : width - k]) & drawn[:, k:])
            for k in range(_REACH)
        ],
        float,
    )


def _fallen(correlation: NDArray[np.float64]) -> float:
    """The first displacement from which on a correlation has fallen to (nearly) its least."""
    least = correlation.min()
    return float(np.argmax(correlation <= least + _FLOOR * (1 - least)))
