"""Where a game shows score, lives and clocks, found from rollouts without labels."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from silot_gym.background import Background, Region, to_packed
from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.rollouts import Episode


def find_hud(
    episodes: Sequence[Episode], background: Background, config: CalibrationConfig = DEFAULTS
) -> tuple[Region, ...]:
    """Regions at the top and the bottom of the frame with what is shown there and never moves.

    Something that moves changes in (nearly) every frame, at least in one of the places that it
    ever comes to; a number changes now and then, and stays where it is.

    Args:
        episodes: to find them from.
        background: of the game; what belongs to it is left out anyway.
        config: thresholds.

    Returns:
        The regions, rounded to a ten-thousandth of the frame.
    """
    shown, changed = _shown_and_changed(episodes, background, config.hud_frames)
    ever = shown.mean(0) >= config.hud_ever
    # An opening would lose thin digits; this joins what is near.
    joined = ndimage.binary_dilation(ever, np.ones((config.hud_gap + 1, config.hud_gap + 1)))
    labels, _ = ndimage.label(joined)
    height, width = ever.shape
    found = []
    for number, part in enumerate(ndimage.find_objects(labels * ever), start=1):
        if part is None:
            continue
        rows, columns = part
        own = (labels == number) & ever
        at_top = rows.stop <= config.hud_edge * height
        at_bottom = rows.start >= (1 - config.hud_edge) * height
        often = shown[:, own].any(1).mean() >= config.hud_shown
        rarely = changed[:, own].any(1).mean() <= config.hud_changes
        if (at_top or at_bottom) and often and rarely:
            x0, x1 = (round(x / width, 4) for x in (columns.start, columns.stop))
            y0, y1 = (round(y / height, 4) for y in (rows.start, rows.stop))
            found.append((x0, y0, x1, y1))
    return tuple(found)


def _shown_and_changed(
    episodes: Sequence[Episode], background: Background, frames: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Foreground of some frames, (T, height, width), and what differs from the frame before."""
    step = max(1, sum(len(episode) for episode in episodes) // frames)
    shown, changed = [], []
    for episode in episodes:
        now = np.arange(1, len(episode), step)
        palette = to_packed(episode.palette)
        before, after = palette[episode.frames[now - 1]], palette[episode.frames[now]]
        shown.append(background.foreground(torch.from_numpy(after)).numpy())
        changed.append(before != after)
    return np.concatenate(shown), np.concatenate(changed)
