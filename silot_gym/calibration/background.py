"""What is always there and no object, found from rollouts without labels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from torch import Tensor

from silot_gym.background import Background, to_packed, unpack_colours
from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.rollouts import Episode

BackgroundKind = Literal["colour", "static", "scenes"]


def estimate_background(
    episodes: Sequence[Episode],
    kind: BackgroundKind = "scenes",
    config: CalibrationConfig = DEFAULTS,
) -> Background:
    """The background of a game.

    Frames are of one scene where the same colour fills most of them. The colour of a scene is
    background wherever it is: under all that moves and behind what is eaten or shot. A scene's
    picture has besides, with the colours that they usually have, pixels

    - in a straight run, along a row or a column, of more such pixels than an object is wide;
    - that always show the same, if there are many of them: the walls of a maze.

    What is small and alone (a digit, a shield, a brick) is left for objects, and what is always
    the same among these is in `Background.static_pictures`. If colours that no picture has are
    found in such long runs, they belong to something that scrolls, and are background wherever
    they are, too.

    Args:
        episodes: to find it from.
        kind: "scenes" for as many as there are; "static" for one; "colour" for no picture.
        config: thresholds.
    """
    palette = np.unique(np.concatenate([to_packed(episode.palette) for episode in episodes]))
    step = max(1, sum(len(episode) for episode in episodes) // config.background_frames)
    frames = np.concatenate(
        [np.searchsorted(palette, to_packed(e.palette))[e.frames[::step]] for e in episodes]
    )
    counts = np.stack([np.bincount(f.ravel(), minlength=len(palette)) for f in frames])
    fills = counts.argmax(1)
    usual_screen = np.isin(fills, _often(fills, config.scene_share))
    if kind != "scenes":
        fills[:] = counts.sum(0).argmax()
    filling = _often(fills, config.scene_share)
    views = [_pictures(frames[fills == i], i, config) for i in filling]
    pictures, static = (np.stack(parts) for parts in zip(*views, strict=True))
    if kind == "colour" or (static == static[:, :1, :1]).all():
        pictures = static = np.zeros((0, 1, 1), np.int64)

    def background(colours: Sequence[int], max_foreground: float = 1.0) -> Background:
        return Background(
            colours=torch.from_numpy(palette[colours]),
            pictures=torch.from_numpy(palette[pictures]),
            static_pictures=torch.from_numpy(palette[static]),
            max_foreground=max_foreground,
        )

    seen = torch.from_numpy(palette[frames])
    foreground = background(filling).foreground(seen).numpy()
    scrolling = [] if kind == "colour" else _scrolling(frames, foreground, config)
    foreground = background(filling + scrolling).foreground(seen).numpy()
    fullest = config.foreground_margin * float(foreground[usual_screen].mean((1, 2)).max())
    max_foreground = round(min(1.0, max(config.least_max_foreground, fullest)), 4)
    found = background(filling + scrolling, max_foreground)
    return replace(found, tolerance=_tolerance(found, torch.from_numpy(palette), config))


def _often(fills: NDArray[np.int64], scene_share: float) -> list[int]:
    """Colours that fill frames often enough for a scene, the most frequent one first."""
    often = np.bincount(fills)
    order = np.argsort(-often, kind="stable")
    return [int(i) for i in order if often[i] >= scene_share * len(fills)]


def _pictures(
    frames: NDArray[np.int64], nothing: int, config: CalibrationConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The background of a scene's frames, (T, height, width), on the colour that fills it.

    Without what is small and always there, and with it.
    """
    usual, share = np.full(frames.shape[1:], nothing), np.zeros(frames.shape[1:])
    for colour in np.unique(frames):
        this = (frames == colour).mean(0)
        usual[this >= config.usual_share] = colour
        share = np.maximum(share, this)
    shown = usual != nothing
    known = _in_long_runs(shown, config.largest_object)
    always = shown & ~known & (share >= config.static_share)
    static: NDArray[np.int64] = np.where(known | always, usual, nothing)
    scenery = always.mean() >= config.scenery_share
    return (static if scenery else np.where(known, usual, nothing)), static


def _scrolling(
    frames: NDArray[np.int64], foreground: NDArray[np.bool_], config: CalibrationConfig
) -> list[int]:
    """Colours of foreground in frames (T, height, width) that is too large for objects."""
    scrolling = []
    enough = config.scrolling_share * frames.size
    for colour in np.flatnonzero(np.bincount(frames[foreground]) >= enough):
        pixels = frames == colour
        large = _in_long_runs(pixels, config.largest_object) & foreground
        often = large.any((1, 2)).mean() >= config.scrolling_frames
        if often and large.sum() >= config.scrolling_runs * (pixels & foreground).sum():
            scrolling.append(int(colour))
    return scrolling


def _tolerance(background: Background, palette: Tensor, config: CalibrationConfig) -> int:
    """How far colours may be from the background's, so that no colour of a palette is both.

    Frames that show only colours of the palette have the same foreground with it as without.
    """
    parts = (background.colours, background.pictures, background.static_pictures)
    behind = torch.from_numpy(np.unique(torch.cat([part.flatten() for part in parts]).numpy()))
    between = unpack_colours(palette)[:, None].int() - unpack_colours(behind).int()
    distance = between.abs().amax(-1)
    others = distance[distance > 0]
    nearest = int(others.min()) if len(others) else 255
    return min(config.max_tolerance, int(config.tolerance_share * nearest))


def _in_long_runs(pixels: NDArray[np.bool_], largest_object: int) -> NDArray[np.bool_]:
    """Which pixels (..., height, width) are in longer straight runs than an object is wide."""
    length = largest_object + 1
    return _in_runs(pixels, length, -1) | _in_runs(pixels, length, -2)


def _in_runs(shown: NDArray[np.bool_], length: int, axis: int) -> NDArray[np.bool_]:
    """Which pixels are in runs of `length` or more along an axis: a morphological opening."""
    size = {"size": length, "axis": axis, "mode": "constant"}
    inner = minimum_filter1d(shown.view(np.uint8), **size)
    # The second filter's window is the first one's mirror image.
    opened: NDArray[np.uint8] = maximum_filter1d(inner, origin=-(1 - length % 2), **size)
    return opened.astype(bool)
