"""Where a game shows score, lives and clocks, found from rollouts without labels."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from silot_gym.background import Background, Region, to_packed
from silot_gym.rollouts import Episode

_EDGE = 0.2
"""Share of the frame's rows at its top and its bottom that may hold a display."""
_GAP = 6
"""Pixels up to which what is drawn apart belongs together: the digits of a number."""
_SHOWN, _CHANGES = 0.7, 0.2
"""Share of the frames in which a display is shown at least, and changes at most."""
_EVER = 0.02
"""Share of the frames from which on a place counts as drawn at all."""
_FRAMES = 400


def find_displays(episodes: Sequence[Episode], background: Background) -> tuple[Region, ...]:
    """Regions at the top and the bottom of the frame with what is shown there and never moves.

    Something that moves changes in (nearly) every frame, at least in one of the places that it
    ever comes to; a number changes now and then, and stays where it is.

    Args:
        episodes: to find them from.
        background: of the game; what belongs to it is left out anyway.

    Returns:
        The regions, rounded to a ten-thousandth of the frame.
    """
    drawn, changed = _drawn_and_changed(episodes, background)
    ever = drawn.mean(0) >= _EVER
    # An opening would lose thin digits; this joins what is near.
    joined = ndimage.binary_dilation(ever, np.ones((_GAP + 1, _GAP + 1)))
    labels, _ = ndimage.label(joined)
    height, width = ever.shape
    found = []
    for number, part in enumerate(ndimage.find_objects(labels * ever), start=1):
        if part is None:
            continue
        rows, columns = part
        own = (labels == number) & ever
        at_edge = rows.stop <= _EDGE * height or rows.start >= (1 - _EDGE) * height
        shown = drawn[:, own].any(1).mean()
        changes = changed[:, own].any(1).mean()
        if at_edge and shown >= _SHOWN and changes <= _CHANGES:
            x0, x1 = (round(x / width, 4) for x in (columns.start, columns.stop))
            y0, y1 = (round(y / height, 4) for y in (rows.start, rows.stop))
            found.append((x0, y0, x1, y1))
    return tuple(found)


def _drawn_and_changed(
    episodes: Sequence[Episode], background: Background
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What is drawn in some frames, (T, height, width), and what differs from the frame before."""
    step = max(1, sum(len(episode) for episode in episodes) // _FRAMES)
    drawn, changed = [], []
    for episode in episodes:
        now = np.arange(1, len(episode), step)
        palette = to_packed(episode.palette)
        before, after = palette[episode.frames[now - 1]], palette[episode.frames[now]]
        drawn.append(background.drawn(torch.from_numpy(after)).numpy())
        changed.append(before != after)
    return np.concatenate(drawn), np.concatenate(changed)
