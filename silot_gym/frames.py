"""From an environment's frame to what the model sees: the only preprocessing there is."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from silot_gym.background import Background, pack_colours, unpack_colours


@dataclass(frozen=True)
class FrameConfig:
    """The frames that a model was made for.

    Attributes:
        game: name of the game, as `ale_py` spells it; None for frames from elsewhere.
        height: rows of a frame.
        width: columns of a frame.
        frame_skip: emulator frames a step.
        pooled: whether a frame is the maximum of the last two screens.
        flickers: whether the game draws objects on some screens only, so that frames that are not
            pooled miss them.
        brightness_floor: how bright the darkest object is shown: background is black, and nothing
            else is.
        background: what is shown as black.
    """

    game: str | None
    height: int
    width: int
    frame_skip: int = 4
    pooled: bool = True
    flickers: bool = True
    brightness_floor: float = 0.3
    background: Background = field(default_factory=Background, compare=False, repr=False)

    NUMBERS: ClassVar = (
        "game",
        "height",
        "width",
        "frame_skip",
        "pooled",
        "flickers",
        "brightness_floor",
    )
    """All but the background."""

    def __post_init__(self) -> None:
        """Refuse a background of another size."""
        for pictures in (self.background.pictures, self.background.static_pictures):
            if len(pictures) and pictures.shape[1:] != (self.height, self.width):
                raise ValueError(
                    f"expected a background of {self.height} x {self.width}, "
                    f"got {tuple(pictures.shape[1:])}"
                )

    def numbers(self) -> dict[str, Any]:
        """All but the background, as plain values by name."""
        return {name: getattr(self, name) for name in self.NUMBERS}

    def window(self, top: int, bottom: int, left: int, right: int) -> "FrameConfig":
        """The same for frames of which only `frame[top:bottom, left:right]` is seen."""
        background = self.background.window(top, bottom, left, right)
        return replace(self, height=bottom - top, width=right - left, background=background)

    def prepare(self, frames: Tensor, foreground: Tensor | None = None) -> Tensor:
        """Frames (B, height, width, 3) uint8 to (B, 3, height, width) float32 in [0, 1].

        Background is black, and all else is brighter than `brightness_floor`. (A model with larger
        pixels averages this.)

        Args:
            frames: of any size; see `Background.foreground`.
            foreground: (B, height, width) bool, where there is no background, if it is known.
        """
        if foreground is None:
            foreground = self.background.foreground(pack_colours(frames))
        image = frames.movedim(-1, -3).contiguous().float()
        image.mul_((1 - self.brightness_floor) / 255).add_(self.brightness_floor)
        return image.mul_(foreground.unsqueeze(-3).byte())  # twice as fast as by bool

    def to_rgb(self, image: Tensor, behind: Tensor) -> Tensor:
        """What the model sees, or renders, as it would look in an environment's frames.

        Args:
            image: (B, 3, height, width) in [0, 1], such as `prepare` makes.
            behind: (B, height, width) int32, packed, the background; see `Background.behind`.

        Returns:
            (B, height, width, 3) uint8.
        """
        image = image.movedim(-3, -1)
        floor = self.brightness_floor
        colours = ((image - floor) / (1 - floor)).clamp(0, 1).mul(255).round().byte()
        shown = image.amax(-1, keepdim=True) > floor / 2
        return colours.where(shown, unpack_colours(behind))
