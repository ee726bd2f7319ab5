"""From an environment's frame to what the model sees: the only preprocessing there is."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class FrameConfig:
    """The frames that a model was made for.

    Attributes:
        game: name of the game, as `ale_py` spells it; None for frames from elsewhere.
        height: rows of a frame.
        width: columns of a frame.
        frame_skip: emulator frames a step.
        pooled: whether a frame is the maximum of the last two screens.
        background_colour: (red, green, blue) in 0..255, seen as black wherever a frame has it:
            black is nothing.
        background: (height, width, 3) uint8, seen as black where a frame has the same colour in
            the same place; None for none but `background_colour`.
    """

    game: str | None
    height: int
    width: int
    frame_skip: int = 4
    pooled: bool = True
    background_colour: tuple[int, int, int] = (0, 0, 0)
    background: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a background that is no such picture."""
        shape = (self.height, self.width, 3)
        background = self.background
        if background is not None and (background.dtype != np.uint8 or background.shape != shape):
            raise ValueError(
                f"expected a background {shape} uint8, got {background.shape} {background.dtype}"
            )

    def numbers(self) -> dict[str, Any]:
        """All but the background, as plain values by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "background"}

    def window(self, top: int, bottom: int, left: int, right: int) -> "FrameConfig":
        """The same for frames of which only `frame[top:bottom, left:right]` is seen."""
        background = self.background
        return replace(
            self,
            height=bottom - top,
            width=right - left,
            background=None if background is None else background[top:bottom, left:right],
        )

    def prepare(self, frames: Tensor) -> Tensor:
        """Frames (..., height, width, 3) uint8 to (..., 3, height, width) float32 in [0, 1].

        Of frames of another size than `height` x `width` only the background's colour is removed.
        """
        seen = frames.movedim(-1, -3).float() / 255
        if any(self.background_colour):
            seen = _without(seen, frames, torch.tensor(self.background_colour))
        if self.background is not None and self.background.shape == frames.shape[-3:]:
            seen = _without(seen, frames, torch.tensor(self.background))
        return seen.contiguous()


def _without(seen: Tensor, frames: Tensor, nothing: Tensor) -> Tensor:
    """What is `seen` of frames, black where they have the colours of `nothing`."""
    shown = (frames != nothing.to(frames.device)).any(-1)
    return seen * shown.unsqueeze(-3)


def pack_colours(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """One number a colour: (..., 3) to (...)."""
    red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
    packed: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return packed


def unpack_colours(packed: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The inverse of `pack_colours`."""
    channels = [packed >> 16, packed >> 8 & 255, packed & 255]
    return np.stack(channels, -1).astype(np.uint8)
