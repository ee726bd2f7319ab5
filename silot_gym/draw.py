"""Tracked objects drawn on frames, and frames as a film. Needs Pillow."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silot_gym.canvas import SCALE, Canvas, colour_bar, enlarge, strength_colour

__all__ = ["SCALE", "draw_objects", "draw_saliency", "enlarge", "write_video"]

_LABELLED_STRENGTHS = 3
"""How many of the strongest objects have their strength written beside them."""
_DIMMED = 0.35
"""Brightness that is left of a frame on which strengths are shown."""


def draw_objects(
    frame: NDArray[np.uint8], objects: Mapping[str, NDArray[Any]], scale: int = SCALE
) -> NDArray[np.uint8]:
    """Draws each object's box around it, its id beside it, and an arrow where it is going.

    A label reads `17` for the object of id 17, `T2 #17` if it is of type 2, and `ship #17` if
    that type has the name ship. It stands where it hides neither an object nor another label, and
    is left out where there is no such place. Colours stand for types, or for ids without types.

    Args:
        frame: (H, W, 3) uint8; stays as it is.
        objects: what `info["objects"]` holds of K rows: `track_id` (K,) int64, -1 on rows that are
            empty; `boxes` (K, 4) in pixels of the frame; `presence` (K,) in [0, 1], the opacity
            of the box; and, if there are any, `velocity` (K, 2) in fractions of the frame a step,
            `category` (K,) int64, `name` (K,) str, empty for none.
        scale: how many times larger than the frame the picture is, by nearest neighbour.

    Returns:
        (scale * H, scale * W, 3) uint8.
    """
    canvas = Canvas(frame, objects, scale)
    for row in canvas.rows:
        canvas.outline(row, float(objects["presence"][row]))
    if "velocity" in objects:
        for row in canvas.rows:
            canvas.arrow(row, objects["velocity"][row])
    for row in canvas.rows:
        canvas.label(row, canvas.names[row])
    return canvas.picture()


def draw_saliency(
    frame: NDArray[np.uint8],
    objects: Mapping[str, NDArray[Any]],
    strength: NDArray[np.floating[Any]],
    scale: int = SCALE,
) -> NDArray[np.uint8]:
    """Shades each object by its strength, such as how much it moved an agent's policy.

    The frame is dimmed. Colours are those of cividis, in which equal steps look equal, to
    colour-blind people as well; a bar below the frame shows them, from 0 to 1. The strongest
    objects have their strength written beside them.

    Args:
        frame: (H, W, 3) uint8; stays as it is.
        objects: as in `draw_objects`.
        strength: (K,) in [0, 1].
        scale: how many times larger than the frame the picture is.

    Returns:
        (scale * (H + 8), scale * W, 3) uint8.

    Raises:
        ValueError: a strength of an object is not in [0, 1].
    """
    grey = frame.mean(-1, keepdims=True) * _DIMMED
    dimmed = np.broadcast_to(grey, frame.shape).round().astype(np.uint8)
    canvas = Canvas(dimmed, objects, scale)
    shown = np.asarray(strength)[canvas.rows]
    if not ((shown >= 0) & (shown <= 1)).all():
        raise ValueError(f"expected strengths in [0, 1], got {shown.min()} to {shown.max()}")
    strongest_last = sorted(canvas.rows, key=lambda row: float(strength[row]))
    for row in strongest_last:
        canvas.shade(row, strength_colour(float(strength[row])))
    for row in strongest_last[::-1][:_LABELLED_STRENGTHS]:
        canvas.label(row, f"{canvas.names[row]}: {strength[row]:.2f}")
    return np.concatenate([canvas.picture(), colour_bar(frame.shape[1], scale)])


def write_video(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: int = 15) -> None:
    """Writes frames, uint8 (H, W, 3), as a GIF or MP4 file by its suffix: whole or not at all.

    Raises:
        ImportError: imageio is missing.
        ValueError: the suffix is another one, or there are no frames.
    """
    path = Path(path)
    options: dict[str, dict[str, Any]] = {
        # MP4 takes any even size; unless told, imageio stretches to multiples of 16.
        ".mp4": {"fps": fps, "macro_block_size": 2},
        ".gif": {"duration": 1000 / fps, "loop": 0},
    }
    if path.suffix not in options:
        raise ValueError(f"expected a video's name to end in .mp4 or .gif, got {path.name}")
    try:
        import imageio.v2 as imageio
    except ImportError as error:
        raise ImportError('videos need imageio: pip install "silot_gym[train]"') from error
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder) / path.name
        count = 0
        writer: Any
        with imageio.get_writer(unfinished, **options[path.suffix]) as writer:
            for frame in frames:
                writer.append_data(frame)
                count += 1
        if count == 0:
            raise ValueError(f"expected at least one frame for {path.name}, got none")
        os.replace(unfinished, path)
