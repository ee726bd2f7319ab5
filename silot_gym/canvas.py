"""An enlarged frame that is drawn on: boxes, arrows and labels of objects. Needs Pillow."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silot_gym.labels import Rectangle, free_place

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError as error:
    raise ImportError('drawing needs Pillow: pip install "silot_gym[atari]"') from error

Colour = tuple[int, ...]

SCALE = 4
"""How many times larger than a frame its picture is by default: even, as a film's size must be, and
enough for labels that are easily read."""
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (204, 121, 167),  # reddish purple
)
"""Colours of Okabe and Ito (2008), which colour-blind people can tell apart, without black."""
_SMOOTHING = 2
"""All is drawn this many times larger and then averaged, for lines and letters without steps."""
_LETTERS = 3
"""Height of the letters in pixels of the frame: as much as fits between two rows of invaders."""
_LEAST_LETTERS = 8
"""Height of the letters in pixels of the picture, below which they are not legible."""
_ARROW_STEPS = 2
"""An arrow is as long as the way of the object in so many steps: that of one is hard to see."""
_LEAST_ARROW = 1.0
"""Pixels of the frame a step; what moves by less gets no arrow: a sprite that changes its shape
may move its centre by half a pixel."""
_SHADE = 170
"""Opacity, of 255, of what fills a box; the object shows through."""
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_LABEL_GROUND = (0, 0, 0, 200)
"""Behind the letters of a label, which are legible on any frame then."""


class Canvas:
    """A frame and the objects that can be drawn on it.

    Measures are in pixels of the canvas, which is `_SMOOTHING` times larger than the picture.

    Attributes:
        rows: the rows of the objects that are not empty.
        names: what the objects of all rows are called: their type, if there is one, and their id.
    """

    def __init__(
        self, frame: NDArray[np.uint8], objects: Mapping[str, NDArray[Any]], scale: int
    ) -> None:
        """Takes what `draw_objects` takes.

        Raises:
            ValueError: the scale is below 1.
        """
        if scale < 1:
            raise ValueError(f"expected a scale >= 1, got {scale}")
        self._zoom = scale * _SMOOTHING
        self._line = max(1, round(scale / 2)) * _SMOOTHING
        self._frame_size = np.array(frame.shape[1::-1])
        self._image = Image.fromarray(enlarge(frame, self._zoom))
        self._draw = ImageDraw.Draw(self._image, "RGBA")  # a mode that mixes colours
        self._font = _font(scale)
        self.rows: list[int] = np.flatnonzero(objects["track_id"] >= 0).tolist()
        self.names, self._colours = _names_and_colours(objects)
        boxes = np.rint(np.asarray(objects["boxes"], np.float64) * self._zoom).astype(int)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        self._boxes: list[Rectangle] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes.tolist()]
        self._taken = [self._boxes[row] for row in self.rows]  # labels keep off these and arrows

    def picture(self) -> NDArray[np.uint8]:
        """The frame with all that was drawn, (scale * H, scale * W, 3)."""
        return np.array(self._image.reduce(_SMOOTHING))

    def outline(self, row: int, opacity: float) -> None:
        """Draws a line around an object's box, with a dark rim that shows on bright grounds."""
        alpha = round(255 * min(max(opacity, 0.0), 1.0))
        outer = self._grown(row, self._line + _SMOOTHING)
        self._rectangle(outer, outline=(*_BLACK, alpha), width=_SMOOTHING)
        inner = self._grown(row, self._line)
        self._rectangle(inner, outline=(*self._colours[row], alpha), width=self._line)

    def shade(self, row: int, colour: Colour) -> None:
        """Fills an object's box so that the object shows through, and draws a line around it."""
        box = self._grown(row, self._line)
        self._rectangle(box, fill=(*colour, _SHADE), outline=colour, width=self._line)

    def arrow(self, row: int, velocity: NDArray[np.floating[Any]]) -> None:
        """Draws an arrow from the edge of an object's box to where that edge is going.

        Args:
            row: of the object.
            velocity: (2,) fractions of the frame a step.
        """
        step = velocity * self._frame_size
        speed = float(np.hypot(*step))
        if speed < _LEAST_ARROW:
            return
        forward = step / speed
        sideways = np.array([-forward[1], forward[0]])
        x0, y0, x1, y1 = self._boxes[row]
        half = np.array([x1 - x0, y1 - y0]) / 2 + self._line
        start = np.array([x0 + x1, y0 + y1]) / 2
        start += forward * (half / np.maximum(np.abs(forward), 1e-6)).min()
        tip = start + step * _ARROW_STEPS * self._zoom
        neck = tip - 4 * self._line * forward
        wing = 2 * self._line * sideways
        shaft = [(*start,), (*neck,)]
        head = [(*tip,), (*(neck + wing),), (*(neck - wing),), (*tip,)]
        self._draw.line(shaft, _BLACK, self._line + 2 * _SMOOTHING)
        self._draw.line(head, _BLACK, 2 * _SMOOTHING, joint="curve")
        self._draw.line(shaft, self._colours[row], self._line)
        self._draw.polygon(head, self._colours[row])
        (left, top), (right, bottom) = np.sort([start, tip], 0).astype(int).tolist()
        self._taken.append((left, top, right + 1, bottom + 1))

    def label(self, row: int, text: str) -> None:
        """Writes a text beside an object, unless there is no room."""
        size = _size(text, self._font)
        beside = self._grown(row, self._line + _SMOOTHING)
        place = free_place(beside, size, self._taken, self._image.size)
        if place is not None:
            self._taken.append((*place, place[0] + size[0], place[1] + size[1]))
            _write(self._draw, place, text, self._font)

    def _grown(self, row: int, margin: int) -> Rectangle:
        """An object's box with a margin, as far as it is on the canvas."""
        x0, y0, x1, y1 = self._boxes[row]
        width, height = self._image.size
        return (
            min(max(0, x0 - margin), width - 1),
            min(max(0, y0 - margin), height - 1),
            max(min(width, x1 + margin), 1),
            max(min(height, y1 + margin), 1),
        )

    def _rectangle(self, box: Rectangle, **style: Any) -> None:
        """Pillow takes the last pixel, not the edge."""
        x0, y0, x1, y1 = box
        self._draw.rectangle((x0, y0, x1 - 1, y1 - 1), **style)


def enlarge(frame: NDArray[np.uint8], scale: int = SCALE) -> NDArray[np.uint8]:
    """A frame (H, W, 3) by nearest neighbour: (scale * H, scale * W, 3)."""
    return frame.repeat(scale, 0).repeat(scale, 1)


def strength_colour(strength: float) -> Colour:
    """The colour of a strength in [0, 1]."""
    red, green, blue = _cividis(np.array([strength]))[0].tolist()
    return red, green, blue


def colour_bar(width: int, scale: int) -> NDArray[np.uint8]:
    """All colours of strengths from 0 to 1, left to right: (8 * scale, scale * width, 3) uint8."""
    columns = _cividis(np.linspace(0, 1, width * scale * _SMOOTHING))
    height = 8 * scale * _SMOOTHING
    image = Image.fromarray(np.repeat(columns[None], height, 0))
    draw, font = ImageDraw.Draw(image, "RGBA"), _font(scale)
    for text, place in (("0", 0), ("1", 1)):
        free = np.subtract(image.size, _size(text, font))
        _write(draw, (int(free[0] * place), int(free[1] // 2)), text, font)
    return np.asarray(image.reduce(_SMOOTHING))


def _names_and_colours(objects: Mapping[str, NDArray[Any]]) -> tuple[list[str], list[Colour]]:
    """What each row is called, and its colour: that of its type, or of its id without types."""
    names, colours = [], []
    for row, track in enumerate(objects["track_id"].tolist()):
        category = int(objects["category"][row]) if "category" in objects else -1
        given = str(objects["name"][row]) if "name" in objects else ""
        kind = given or (f"T{category}" if category >= 0 else "")
        names.append(f"{kind} #{track}" if kind else f"{track}")
        colours.append(PALETTE[(category if category >= 0 else track) % len(PALETTE)])
    return names, colours


@lru_cache
def _font(scale: int) -> Any:
    """Pillow's own font."""
    return ImageFont.load_default(max(_LEAST_LETTERS, round(_LETTERS * scale)) * _SMOOTHING)


def _size(text: str, font: Any) -> tuple[int, int]:
    """Width and height of a label, the same height for all texts."""
    return int(font.getlength(text)) + 3 * _SMOOTHING, int(0.85 * font.size) + 3 * _SMOOTHING


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, font: Any) -> None:
    """Draws a label whose upper left corner is at a place."""
    (x, y), (width, height) = place, _size(text, font)
    draw.rectangle((x, y, x + width - 1, y + height - 1), _LABEL_GROUND)
    draw.text((x + width // 2, y + height // 2), text, _WHITE, font, anchor="mm")


def _cividis(strength: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Colours (N, 3) of strengths (N,) in [0, 1]."""
    import cv2

    levels = np.rint(255 * strength).astype(np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1])
