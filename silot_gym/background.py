"""What a game shows that is no object: colours and pictures, found from rollouts."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Colour = tuple[int, int, int]
Region = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in fractions of a frame."""

_STRIDE = 4
"""Pictures are compared with a frame in every fourth row and column."""


def pack_colours(colours: Tensor) -> Tensor:
    """One number a colour: (..., 3) uint8 to (...) int32."""
    red, green, blue = colours.unbind(-1)
    packed = red.int()
    for channel in (green, blue):
        packed <<= 8
        packed |= channel
    return packed


def unpack_colours(packed: Tensor) -> Tensor:
    """The inverse of `pack_colours`."""
    return torch.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1).byte()


def _no_pictures() -> Tensor:
    return torch.zeros(0, 1, 1, dtype=torch.int32)


@dataclass(frozen=True, eq=False)
class Background:
    """Colours that are background wherever they are, and pictures that are it where they match.

    A game may have several scenes (rooms, levels, a screen that flashes), each with a picture; in
    a frame, the picture counts that has most in common with it. A background that scrolls has no
    picture, but its colours.

    Attributes:
        colours: (C,) int32, packed; the first is the most common one.
        pictures: (M, height, width) int32, packed. M may be 0.
        static_pictures: the same pictures with small things that are always there, for play.
        max_foreground: largest share of a frame's pixels that are no background in a known scene.
        tolerance: how far each channel of a colour, in 0..255, may be from the background's for a
            pixel to be background, in frames in which some pixels are near to it and not the same:
            frames with noise, or from a lossy film.
        hud: regions where score, lives and clocks are shown.
    """

    colours: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int32))
    pictures: Tensor = field(default_factory=_no_pictures)
    static_pictures: Tensor = field(default_factory=_no_pictures)
    max_foreground: float = 1.0
    tolerance: int = 0
    hud: tuple[Region, ...] = ()

    @classmethod
    def of(
        cls,
        colours: Sequence[Colour],
        pictures: Sequence[NDArray[np.uint8]] = (),
        max_foreground: float = 1.0,
        tolerance: int = 0,
    ) -> "Background":
        """A background of colours, and of pictures (height, width, 3) uint8 of one size."""
        packed = torch.from_numpy(to_packed(np.array(colours, np.uint8)))
        if not pictures:
            return cls(packed, max_foreground=max_foreground, tolerance=tolerance)
        both = torch.from_numpy(to_packed(np.stack(pictures)))
        return cls(packed, both, both, max_foreground, tolerance)

    @property
    def colour(self) -> Colour:
        """The most common colour: red, green and blue in 0..255."""
        red, green, blue = unpack_colours(self.colours[0]).tolist()
        return red, green, blue

    def digest(self) -> str:
        """A short name of the colours and pictures, the same for the same ones."""
        tensors = (self.colours, self.pictures, self.static_pictures)
        return hashlib.sha256(b"".join(t.cpu().numpy().tobytes() for t in tensors)).hexdigest()[:16]

    def to(self, device: torch.device | str) -> "Background":
        """The same on another device."""
        tensors = ("colours", "pictures", "static_pictures")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def with_static(self) -> "Background":
        """The same with small things that are always there taken for background."""
        return replace(self, pictures=self.static_pictures)

    def window(self, top: int, bottom: int, left: int, right: int) -> "Background":
        """The same for frames of which only `frame[top:bottom, left:right]` is seen.

        The HUD is forgotten, and all scenes are taken to be known.
        """
        part = (slice(None), slice(top, bottom), slice(left, right))
        return replace(
            self,
            pictures=self.pictures[part],
            static_pictures=self.static_pictures[part],
            hud=(),
            max_foreground=1.0,  # it was the share of the whole frame
        )

    def foreground(self, packed: Tensor) -> Tensor:
        """Where frames (B, height, width), packed, are no background: (B, height, width) bool.

        Of frames of another size than the pictures only the colours are background.
        """
        pictured = len(self.pictures) and self.pictures.shape[1:] == packed.shape[1:]
        behind = self._picture_of(packed) if pictured else None
        foreground = torch.ones_like(packed)
        for colour in self.colours:
            foreground &= _differs(packed, colour)
        if behind is not None:
            foreground &= _differs(packed, behind)
        foreground = foreground.bool()
        if self.tolerance:
            for lane in self._inexact(packed, behind, foreground):
                own = behind if behind is None or len(behind) == 1 else behind[lane, None]
                foreground[lane] &= ~self._close(packed[lane, None], own)[0]
        return foreground

    def _inexact(self, packed: Tensor, behind: Tensor | None, foreground: Tensor) -> list[int]:
        """Frames in which some pixels are near to the background and not the same.

        Only some pixels are looked at: with exact frames, all others are seen once.
        """
        sampled = slice(None), slice(None, None, _STRIDE), slice(None, None, _STRIDE)
        packed = packed[sampled]
        places = foreground[sampled].nonzero(as_tuple=True)
        others = self.colours.expand(len(places[0]), -1)
        if behind is not None:
            own = behind[sampled].expand_as(packed)[places]
            others = torch.cat([others, own[:, None]], 1)
        close = near(packed[places][:, None], others, self.tolerance).any(1)
        return sorted(set(places[0][close].tolist()))

    def _close(self, packed: Tensor, behind: Tensor | None) -> Tensor:
        """Where frames have about a background's colour, or the one that is behind: bool."""
        close = torch.zeros_like(packed, dtype=torch.bool)
        for colour in self.colours:
            close |= near(packed, colour, self.tolerance)
        return close if behind is None else close | near(packed, behind, self.tolerance)

    def _picture_of(self, packed: Tensor) -> Tensor:
        """The pictures behind frames (B, height, width), or (1, height, width) for all of them."""
        return self.pictures if len(self.pictures) == 1 else self.pictures[self.scene(packed)]

    def scene(self, packed: Tensor) -> Tensor:
        """Which picture has most in common with each of the frames (B, height, width): (B,)."""
        some, pictures = packed[:, ::_STRIDE, ::_STRIDE], self.pictures[:, ::_STRIDE, ::_STRIDE]
        matches = (some[:, None] == pictures).sum((-1, -2))
        if self.tolerance:
            few = matches.amax(1) < some[0].numel() / 2
            if few.any():
                matches[few] = near(some[few, None], pictures, self.tolerance).sum((-1, -2))
        return matches.argmax(1)

    def removed(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames (T, height, width, 3) in which all background has its most common colour."""
        packed = pack_colours(torch.from_numpy(np.ascontiguousarray(frames)))
        foreground = self.foreground(packed.to(self.colours.device)).cpu()
        return np.where(foreground.numpy()[..., None], frames, np.array(self.colour, np.uint8))

    def behind(self, packed: Tensor) -> Tensor:
        """The background of frames (B, height, width), packed: the same shape."""
        if len(self.pictures) and self.pictures.shape[1:] == packed.shape[1:]:
            return self._picture_of(packed).expand_as(packed)
        return self.colours[:1].expand_as(packed)


def near(packed: Tensor, other: Tensor, tolerance: int) -> Tensor:
    """Which colours differ by no more than the tolerance in any channel, bool."""
    if not tolerance:
        return packed == other
    close = ((packed & 255) - (other & 255)).abs_() <= tolerance
    for shift in (8, 16):
        close &= ((packed >> shift & 255) - (other >> shift & 255)).abs_() <= tolerance
    return close


def _differs(packed: Tensor, other: Tensor) -> Tensor:
    """Which colours differ, as 1 or 0 of their type: on the CPU, bools take three times as long."""
    return torch.ne(packed, other, out=torch.empty_like(packed))


def within(regions: Sequence[Region], height: int, width: int) -> Tensor:
    """Which pixels of a frame lie in any of the regions, (height, width) bool.

    Raises:
        ValueError: a region is no box in fractions of the frame.
    """
    inside = torch.zeros(height, width, dtype=torch.bool)
    for region in regions:
        try:
            x0, y0, x1, y1 = region
            fits = 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise ValueError(
                "expected a list of regions (x0, y0, x1, y1) in fractions of the frame, x0 < x1 "
                f"and y0 < y1, got {regions}"
            )
        rows = slice(math.floor(y0 * height), math.ceil(y1 * height))
        inside[rows, math.floor(x0 * width) : math.ceil(x1 * width)] = True
    return inside


def to_packed(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    """`pack_colours` for arrays."""
    packed: NDArray[np.int32] = pack_colours(torch.from_numpy(colours)).numpy()
    return packed
