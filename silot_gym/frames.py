"""From an environment's frame to what the model sees: the only preprocessing there is."""

from dataclasses import dataclass

import torch
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
        background: colour (red, green, blue) in 0..255 that is seen as black; black is nothing.
    """

    game: str | None
    height: int
    width: int
    frame_skip: int = 4
    pooled: bool = True
    background: tuple[int, int, int] = (0, 0, 0)

    def prepare(self, frames: Tensor) -> Tensor:
        """Frames (..., height, width, 3) uint8 to (..., 3, height, width) float32 in [0, 1]."""
        seen = frames.movedim(-1, -3).float() / 255
        if any(self.background):
            colour = torch.tensor(self.background, dtype=frames.dtype, device=frames.device)
            shown = (frames != colour).any(-1).unsqueeze(-3)
            seen = seen * shown
        return seen.contiguous()
