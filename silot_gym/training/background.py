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
from silot_gym.rollouts import Episode

BackgroundKind = Literal["colour", "static", "scenes"]

LARGEST_OBJECT = 48
"""Pixels beyond which what is straight and in one colour is scenery, in any game."""
_FRAMES = 500
"""How many frames are looked at, about."""
_SCENE = 0.01
"""Share of the frames that a scene fills, at least."""
_USUALLY = 0.5
"""Share of a scene's frames from which on a pixel's colour is usual."""
_ALWAYS = 0.98
"""And from which on it is always the same."""
_SCENERY = 0.015
"""Share of the pixels from which on what is always the same is scenery. Fewer are single things."""
_SCROLLS, _LARGE = 0.003, 0.8
"""Share of all pixels that have a colour that scrolls, and of these in long runs, at least."""
_OFTEN = 0.05
"""Share of the frames that show what scrolls, at least."""
_MARGIN = 1.5
"""How many times more may be drawn in play than in any frame of the rollouts."""
_LEAST_UNKNOWN = 0.1
"""Share of the pixels that is not too much in any game."""
_TOLERATED, _MOST_TOLERATED = 0.5, 8
"""How near to a background's colour others count as it: as a share of the distance of the nearest
colour that is another one, and at most, in steps of a channel."""


def estimate_background(
    episodes: Sequence[Episode], largest_object: int, kind: BackgroundKind = "scenes"
) -> Background:
    """The background of a game.

    Frames are of one scene where the same colour fills most of them. The colour of a scene is
    background wherever it is: under all that moves and behind what is eaten or shot. A scene's
    picture has besides, with the colours that they usually have, pixels

    - in a straight run, along a row or a column, of more such pixels than an object is wide;
    - that always show the same, if there are many of them: the walls of a maze.

    What is small and alone (a digit, a shield, a brick) is left for objects, and what is always
    the same among these is in `Background.stills`. Colours that the pictures do not account for
    and that are found in such long runs belong to something that scrolls, and are background
    wherever they are, too.

    Args:
        episodes: to find it from.
        largest_object: longest side of an object in pixels.
        kind: "scenes" for as many as there are; "static" for one; "colour" for no picture.
    """
    palette = np.unique(np.concatenate([to_packed(episode.palette) for episode in episodes]))
    step = max(1, sum(len(episode) for episode in episodes) // _FRAMES)
    frames = np.concatenate(
        [np.searchsorted(palette, to_packed(e.palette))[e.frames[::step]] for e in episodes]
    )
    counts = np.stack([np.bincount(f.ravel(), minlength=len(palette)) for f in frames])
    fills = counts.argmax(1)
    usual_screen = np.isin(fills, _often(fills))
    if kind != "scenes":
        fills[:] = counts.sum(0).argmax()
    filling = _often(fills)
    views = [_pictures(frames[fills == i], i, largest_object) for i in filling]
    pictures, stills = (np.stack(parts) for parts in zip(*views, strict=True))
    if kind == "colour" or (stills == stills[:, :1, :1]).all():
        pictures = stills = np.zeros((0, 1, 1), np.int64)

    def background(colours: Sequence[int], most_drawn: float = 1.0) -> Background:
        return Background(
            colours=torch.from_numpy(palette[colours]),
            pictures=torch.from_numpy(palette[pictures]),
            stills=torch.from_numpy(palette[stills]),
            most_drawn=most_drawn,
        )

    seen = torch.from_numpy(palette[frames])
    drawn = background(filling).drawn(seen).numpy()
    scrolling = [] if kind == "colour" else _scrolling(frames, drawn, largest_object)
    drawn = background(filling + scrolling).drawn(seen).numpy()
    busiest = float(drawn[usual_screen].mean((1, 2)).max())
    most_drawn = round(min(1.0, max(_LEAST_UNKNOWN, _MARGIN * busiest)), 4)
    found = background(filling + scrolling, most_drawn)
    return replace(found, tolerance=_tolerance(found, torch.from_numpy(palette)))


def _often(fills: NDArray[np.int64]) -> list[int]:
    """Colours that fill frames often enough for a scene, the most frequent one first."""
    often = np.bincount(fills)
    order = np.argsort(-often, kind="stable")
    return [int(i) for i in order if often[i] >= _SCENE * len(fills)]


def _pictures(
    frames: NDArray[np.int64], nothing: int, largest_object: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The background of a scene's frames, (T, height, width), on the colour that fills it.

    Without what is small and always there, and with it.
    """
    usual, share = np.full(frames.shape[1:], nothing), np.zeros(frames.shape[1:])
    for colour in np.unique(frames):
        this = (frames == colour).mean(0)
        usual[this >= _USUALLY] = colour
        share = np.maximum(share, this)
    drawn = usual != nothing
    known = _in_long_runs(drawn, largest_object)
    always = drawn & ~known & (share >= _ALWAYS)
    still: NDArray[np.int64] = np.where(known | always, usual, nothing)
    scenery = always.mean() >= _SCENERY
    return (still if scenery else np.where(known, usual, nothing)), still


def _scrolling(
    frames: NDArray[np.int64], drawn: NDArray[np.bool_], largest_object: int
) -> list[int]:
    """Colours of what is drawn on frames (T, height, width) and too large for objects."""
    scrolling = []
    for colour in np.flatnonzero(np.bincount(frames[drawn]) >= _SCROLLS * frames.size):
        pixels = frames == colour
        large = _in_long_runs(pixels, largest_object) & drawn
        often = large.any((1, 2)).mean() >= _OFTEN  # and is no flash
        if often and large.sum() >= _LARGE * (pixels & drawn).sum():
            scrolling.append(int(colour))
    return scrolling


def _tolerance(background: Background, palette: Tensor) -> int:
    """How far colours may be from the background's, so that no colour of a palette is both.

    Frames that show only colours of the palette have the same foreground with it as without.
    """
    parts = (background.colours, background.pictures, background.stills)
    behind = torch.from_numpy(np.unique(torch.cat([part.flatten() for part in parts]).numpy()))
    between = unpack_colours(palette)[:, None].int() - unpack_colours(behind).int()
    distance = between.abs().amax(-1)
    others = distance[distance > 0]
    nearest = int(others.min()) if len(others) else 255
    return min(_MOST_TOLERATED, int(_TOLERATED * nearest))


def _in_long_runs(pixels: NDArray[np.bool_], largest_object: int) -> NDArray[np.bool_]:
    """Which pixels (..., height, width) are in longer straight runs than an object is wide."""
    length = largest_object + 1
    return _in_runs(pixels, length, -1) | _in_runs(pixels, length, -2)


def _in_runs(drawn: NDArray[np.bool_], length: int, axis: int) -> NDArray[np.bool_]:
    """Which pixels are in runs of `length` or more along an axis: a morphological opening."""
    size = {"size": length, "axis": axis, "mode": "constant"}
    inner = minimum_filter1d(drawn.view(np.uint8), **size)
    # The second filter's window is the first one's mirror image.
    opened: NDArray[np.uint8] = maximum_filter1d(inner, origin=-(1 - length % 2), **size)
    return opened.astype(bool)
