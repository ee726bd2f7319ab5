"""A calibrated background in other colours."""

from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.background import Background, near, pack_colours, unpack_colours

_SAMPLED = 1000
"""Pixels of a part that say which colour it has, about; all would say the same."""


class Recolouring:
    """Finds in which colours frames show a background.

    A part is all that has one colour in a picture. In a frame it has the colour that is the median
    of its pixels in each channel, if most of them have that, so that objects on it do not matter.
    """

    def __init__(self, background: Background, height: int, width: int) -> None:
        """Takes the pictures of a background to pieces, for frames of this size."""
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

    def of(self, packed: Tensor, least_share: float) -> list[Background]:
        """The background in the colours of a frame, once for each of its pictures.

        Args:
            packed: (height, width) int32, the frame.
            least_share: share of the frame's pixels that have to be of parts in other colours.

        Returns:
            The backgrounds, that of the most frequent picture first; none if the frame shows the
            picture that fits best in its own colours, small parts aside.
        """
        known, tolerance = self._background, self._background.tolerance
        number = int(known.scene(packed[None])) if len(self._pictures) > 1 else 0
        parts, palette = self._parts[number], self._palettes[number]
        sizes = torch.tensor([len(part) for part in parts], device=packed.device)
        shown = self._shown(packed, number)
        changed = ~near(shown, palette, tolerance)
        changed &= ~near(shown[:, None], known.colours, tolerance).any(1)
        if (sizes * changed).sum() < least_share * packed.numel():
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
        return replace(self._background, colours=colours, pictures=other, static_pictures=other)

    def _shown(self, packed: Tensor, number: int) -> Tensor:
        """The colours that a picture's parts have in a frame, packed; their own if in doubt."""
        flat, tolerance = packed.flatten(), self._background.tolerance
        shown: Tensor = self._palettes[number].clone()
        for i, part in enumerate(self._parts[number]):
            some = flat[part[:: 1 + len(part) // _SAMPLED]]
            colour = pack_colours(unpack_colours(some).median(0).values)
            most = near(some, colour, tolerance).float().mean() > 0.5
            shown[i] = torch.where(most, colour, shown[i])
        return shown
