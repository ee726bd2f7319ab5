"""Tracked objects drawn on frames, and frames as a film."""

import colorsys
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_boxes", "track_colour", "write_video"]

_GOLDEN_RATIO = (1 + 5**0.5) / 2
_DIGITS = "75557262277174771717557117471774757711227575775717"
"""The digits 0 to 9, five rows of three pixels each, a row as the bits of an octal number."""


def draw_boxes(
    frame: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    track_ids: NDArray[np.int64],
    presence: NDArray[np.float32],
    scale: int = 1,
) -> NDArray[np.uint8]:
    """Draws the outline and the track id of each object, in a colour that stays with the id.

    Args:
        frame: (H, W, 3) uint8; stays as it is.
        boxes: (K, 4) (x0, y0, x1, y1) in pixels of the frame, edges convention; NaN for none.
        track_ids: (K,) non-negative where there is a box.
        presence: (K,) in [0, 1], the opacity of the outline.
        scale: how many times larger than the frame the image is; from 3 on, ids are legible
            beside small objects.

    Returns:
        (scale * H, scale * W, 3) uint8.
    """
    image = frame.repeat(scale, 0).repeat(scale, 1).astype(np.float32)
    for box, track_id, opacity in zip(boxes, track_ids, presence, strict=True):
        if np.isnan(box).any():
            continue
        x0, y0, x1, y1 = (round(float(edge) * scale) for edge in box)
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        colour = track_colour(int(track_id))
        outline = np.ones((y1 - y0, x1 - x0), bool)
        outline[1:-1, 1:-1] = False
        _paint(image, outline, x0, y0, colour, float(opacity))
        label = _label(int(track_id), max(1, scale // 3))
        # Above the box, or within it at the upper edge of the frame.
        _paint(image, label, x0, max(0, y0 - label.shape[0] - 1), colour, 1.0)
    return image.round().astype(np.uint8)


def track_colour(track_id: int) -> tuple[int, int, int]:
    """Red, green and blue in 0..255; hues a golden ratio apart, so that neighbours differ."""
    red, green, blue = colorsys.hsv_to_rgb(track_id * _GOLDEN_RATIO % 1, 0.75, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


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


def _label(number: int, size: int) -> NDArray[np.bool_]:
    """The pixels of a number's digits, each pixel `size` wide and high."""
    rows = np.array([int(row) for row in _DIGITS]).reshape(10, 5)[[int(d) for d in str(number)]]
    bits = rows[..., None] >> np.array([2, 1, 0, 9]) & 1  # (digits, 5, 3 and a gap)
    pixels: NDArray[np.bool_] = bits.astype(bool).swapaxes(0, 1).reshape(5, -1)[:, :-1]
    return pixels.repeat(size, 0).repeat(size, 1)


def _paint(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    x: int,
    y: int,
    colour: tuple[int, int, int],
    opacity: float,
) -> None:
    """Mixes a colour into the masked pixels; the mask's corner is at (x, y), its end may be cut."""
    part = image[y : y + mask.shape[0], x : x + mask.shape[1]]
    inside = mask[: part.shape[0], : part.shape[1]]
    part[inside] += opacity * (np.array(colour, np.float32) - part[inside])
