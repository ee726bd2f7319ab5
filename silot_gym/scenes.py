"""What live frames show that is no object, also in other colours and in unknown scenes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.background import Background, near, pack_colours, unpack_colours

_LARGE = 0.02
"""Share of a frame's pixels from which on parts of its background in other colours count."""
_LOOKED_AT = 1000
"""Pixels of a part that say which colour it has, about; all would say the same."""


class UnknownScenes:
    """Backgrounds of lanes that show another scene than those of the pictures, as far as seen.

    A known scene in other colours is one in which parts of the background, not only small ones,
    have colours of their own that they should not have, and which is as full as known scenes are
    once those are taken for the background's. It is looked for in the first frame, and when more is
    drawn than should be.

    Where this is not found and most of a frame is drawn, this is no crowd of objects but another
    level, which has to be learned; see `_Learned`.
    """

    def __init__(self, background: Background, lanes: int) -> None:
        """No lane has shown a frame."""
        self.background = background
        self._recolouring: _Recolouring | None = None
        self._others: list[Background | _Learned | None] = [None] * lanes
        self._crowded: list[bool | None] = [None] * lanes
        """Whether more was drawn in a lane's last frame than in known scenes."""

    def forget(self, lanes: Tensor) -> None:
        """Take lanes, (B,) bool, to have shown no frame."""
        for lane in lanes.nonzero()[:, 0].tolist():
            self._others[lane] = self._crowded[lane] = None

    def drawn(self, packed: Tensor, lanes: Sequence[int] | None = None) -> Tensor:
        """Where frames show something else than background.

        Args:
            packed: (B, height, width) a frame of each lane.
            lanes: the lanes, if these are not all.

        Returns:
            (B, height, width) bool.
        """
        rows = range(len(self._others)) if lanes is None else lanes
        drawn = self.background.drawn(packed)
        for row, (lane, crowded) in enumerate(zip(rows, self._too_many(drawn), strict=True)):
            if self._others[lane] is not None or crowded != self._crowded[lane]:
                drawn[row] = self._drawn_on_other(lane, packed[row], drawn[row], crowded)
        return drawn

    def _drawn_on_other(self, lane: int, packed: Tensor, drawn: Tensor, crowded: bool) -> Tensor:
        """Where a frame (height, width) shows something else than known and other backgrounds."""
        other = self._others[lane]
        self._crowded[lane] = crowded
        if not (isinstance(other, _Learned) and crowded):
            other = self._in_other_colours(packed, drawn)
            if other is None and crowded:
                other = _Learned(packed, self.background.tolerance)
            self._others[lane] = other
        if other is None:
            return drawn
        # What has kept its colour is background as well: other parts may be of the same colour.
        return drawn & other.drawn(packed[None])[0]

    def _in_other_colours(self, packed: Tensor, drawn: Tensor) -> Background | None:
        """The known background in the colours of a frame (height, width), if it shows that."""
        if self._recolouring is None:
            self._recolouring = _Recolouring(self.background, *packed.shape)
        for other in self._recolouring.of(packed):  # the most frequent scene comes first
            if not self._too_many(drawn & other.drawn(packed[None]))[0]:
                return other
        return None

    def _too_many(self, drawn: Tensor) -> list[bool]:
        """Whether more is drawn in frames (B, height, width) than in those of known scenes."""
        count = drawn.byte().flatten(1).sum(1, dtype=torch.int32)
        crowded: list[bool] = (count > self.background.most_drawn * drawn[0].numel()).tolist()
        return crowded

    def behind(self, packed: Tensor) -> Tensor:
        """The background of frames (B, height, width) of all lanes, the last that were shown."""
        behind = self.background.behind(packed).clone()
        for lane, other in enumerate(self._others):
            if other is not None:
                behind[lane] = other.behind(packed[lane, None])[0]
        return behind


class _Learned:
    """The background of a scene of which there is no picture.

    What it shows when it is seen first is taken for background; later on, also what has not
    changed for a while, lest the places that objects have left are objects for ever.
    """

    _PATIENCE = 8

    def __init__(self, packed: Tensor, tolerance: int) -> None:
        """Begins with the first frame, (height, width)."""
        self._tolerance = tolerance
        self._picture = self._last = packed
        self._still = torch.full_like(packed, -1)  # 0 with the first frame

    def drawn(self, packed: Tensor) -> Tensor:
        """Where the next frame (1, height, width) shows something else, (1, height, width) bool."""
        frame = packed[0]
        same = near(frame, self._last, self._tolerance)
        self._still = torch.where(same, self._still + 1, 0)
        self._picture = torch.where(self._still >= self._PATIENCE, frame, self._picture)
        self._last = frame
        return ~near(frame, self._picture, self._tolerance)[None]

    def behind(self, packed: Tensor) -> Tensor:
        """The background of a frame (1, height, width), the same shape."""
        return self._picture[None]


class _Recolouring:
    """Finds in which colours frames show a background.

    A part is all that has one colour in a picture. In a frame it has the colour that is the median
    of its pixels in each channel, if most of them have that, so that objects on it do not matter.
    """

    def __init__(self, background: Background, height: int, width: int) -> None:
        """Takes pictures to pieces.

        Args:
            background: as it is known.
            height: of the frames.
            width: of the frames.
        """
        self._background = background
        pictures = background.pictures
        if pictures.shape[1:] != (height, width):
            pictures = background.colours[0].expand(1, height, width)
        self._pictures = pictures
        self._palettes = [picture.unique() for picture in pictures]
        self._parts = [
            [(picture.flatten() == colour).nonzero()[:, 0] for colour in palette]
            for picture, palette in zip(pictures, self._palettes, strict=True)
        ]

    def of(self, packed: Tensor) -> list[Background]:
        """The background in the colours of a frame.

        Args:
            packed: (height, width) the frame.

        Returns:
            A background for each picture; none if the parts of the picture that fits best have
            their colours, small ones aside.
        """
        known, tolerance = self._background, self._background.tolerance
        number = int(known.scene(packed[None])) if len(self._pictures) > 1 else 0
        parts, palette = self._parts[number], self._palettes[number]
        sizes = torch.tensor([len(part) for part in parts], device=packed.device)
        shown = self._shown(packed, number)
        changed = ~near(shown, palette, tolerance)
        changed &= ~near(shown[:, None], known.colours, tolerance).any(1)
        if (sizes * changed).sum() < _LARGE * packed.numel():
            return []
        return [self._in_colours_of(packed, number) for number in range(len(self._parts))]

    def _in_colours_of(self, packed: Tensor, number: int) -> Background:
        picture, palette = self._pictures[number], self._palettes[number]
        shown = self._shown(packed, number)

        def recoloured(colours: Tensor) -> Tensor:
            place = torch.searchsorted(palette, colours.contiguous()).clamp(max=len(palette) - 1)
            return torch.where(palette[place] == colours, shown[place], colours)

        other = recoloured(picture)[None]
        colours = recoloured(self._background.colours)
        return replace(self._background, colours=colours, pictures=other, stills=other)

    def _shown(self, packed: Tensor, number: int) -> Tensor:
        """The colours that a picture's parts have in a frame, packed; their own if in doubt."""
        flat, tolerance = packed.flatten(), self._background.tolerance
        shown: Tensor = self._palettes[number].clone()
        for i, part in enumerate(self._parts[number]):
            some = flat[part[:: 1 + len(part) // _LOOKED_AT]]
            colour = pack_colours(unpack_colours(some).median(0).values)
            most = near(some, colour, tolerance).float().mean() > 0.5
            shown[i] = torch.where(most, colour, shown[i])
        return shown
