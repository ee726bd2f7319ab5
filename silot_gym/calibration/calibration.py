"""What differs between games, and is measured rather than learned."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from silot_gym.background import Background
from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.frames import FrameConfig
from silot_gym.object_types import ObjectTypes
from silot_gym.play.config import PlayConfig

if TYPE_CHECKING:
    from silot_gym.checkpoint import Checkpoint
    from silot_gym.model import SILOT
    from silot_gym.rollouts import Episode

_PICTURES = ("colours", "pictures", "static_pictures")
_TYPES = ("centres", "projection")


@dataclass(frozen=True)
class Calibration:
    """A game's calibration.

    Attributes:
        frames: the game's frames, with background and HUD, and whether it flickers.
        object_size: typical width and height of its objects in pixels; None if nothing moves.
        num_slots: K in play.
        types: the types of its objects; None if they were never looked for.
    """

    frames: FrameConfig
    object_size: tuple[float, float] | None = None
    num_slots: int = 64
    types: ObjectTypes | None = field(default=None, compare=False)

    def with_model(
        self,
        model: "SILOT",
        episodes: "Sequence[Episode]",
        config: CalibrationConfig = DEFAULTS,
        *,
        play: PlayConfig = PlayConfig(),
        like: "Checkpoint | None" = None,
        progress: bool = False,
    ) -> "Calibration":
        """The same with what needs a trained model: number of slots and types of objects.

        Args:
            model: in evaluation mode.
            episodes: that the model was not trained on.
            config: thresholds.
            play: how the model will be played.
            like: a checkpoint of the same game whose types keep their numbers and names.
            progress: whether to show a progress bar.
        """
        # What plays a tracker is above this module: checkpoints hold calibrations.
        from silot_gym.calibration.num_slots import choose_num_slots
        from silot_gym.calibration.types import carried_over, types_of_episodes
        from silot_gym.checkpoint import Checkpoint

        num_slots = choose_num_slots(Checkpoint(model, self, play), episodes, config)
        found = replace(self, num_slots=num_slots)
        played = Checkpoint(model, found, play)
        if like is not None and like.types is not None:
            return replace(
                found, types=carried_over(like, played, episodes, config, progress=progress)
            )
        return replace(found, types=types_of_episodes(played, episodes, config, progress=progress))

    def tensors(self) -> dict[str, Tensor]:
        """Its arrays by name; pictures as a palette and indices."""
        tensors = {}
        for name in _PICTURES:
            packed = getattr(self.frames.background, name)
            palette, index = packed.unique(return_inverse=True)
            tensors[f"background.{name}.palette"] = palette
            few = len(palette) <= 256
            tensors[f"background.{name}.index"] = index.to(torch.uint8 if few else torch.int32)
        if self.types is not None:
            for name in _TYPES:
                tensors[f"types.{name}"] = torch.from_numpy(getattr(self.types, name))
        return tensors

    def settings(self) -> dict[str, Any]:
        """All else, as plain values by name."""
        background, types = self.frames.background, self.types
        return {
            **self.frames.numbers(),
            "max_foreground": background.max_foreground,
            "tolerance": background.tolerance,
            "hud": background.hud,
            "object_size": self.object_size,
            "num_slots": self.num_slots,
            "types": types and {"max_count": types.max_count.tolist(), "names": types.names},
        }

    @classmethod
    def of(cls, settings: "CalibrationSettings", tensors: dict[str, Tensor]) -> "Calibration":
        """The inverse of `settings` and `tensors`.

        Raises:
            KeyError, ValueError, IndexError: a tensor is missing, or does not fit.
        """
        pictures = {name: _picture(tensors, f"background.{name}") for name in _PICTURES}
        types = settings.types
        return cls(
            frames=FrameConfig(
                **{name: getattr(settings, name) for name in FrameConfig.NUMBERS},
                background=Background(
                    **pictures,
                    max_foreground=settings.max_foreground,
                    tolerance=settings.tolerance,
                    hud=settings.hud,
                ),
            ),
            object_size=settings.object_size,
            num_slots=settings.num_slots,
            types=None
            if types is None
            else ObjectTypes(
                **{name: tensors[f"types.{name}"].numpy() for name in _TYPES},
                max_count=np.array(types.max_count, np.int64),
                names=types.names,
            ),
        )

    def to(self, device: torch.device | str) -> "Calibration":
        """The same on another device."""
        background = self.frames.background.to(device)
        return replace(self, frames=replace(self.frames, background=background))


def _picture(tensors: dict[str, Tensor], name: str) -> Tensor:
    """Colours of palette indices."""
    palette, index = tensors[f"{name}.palette"], tensors[f"{name}.index"]
    if palette.dtype != torch.int32 or index.dtype not in (torch.uint8, torch.int32):
        raise ValueError(f"expected whole numbers as {name}, got {palette.dtype}, {index.dtype}")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < len(palette):
        raise ValueError(f"expected indices of {name} below {len(palette)}")
    return palette[index.long()]


Count = Annotated[int, Field(ge=0, le=1024)]
Side = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[float, Field(gt=0, le=4096)]


@dataclass(frozen=True)
class TypeSettings:
    """The plain values of `ObjectTypes`."""

    max_count: tuple[Count, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class CalibrationSettings:
    """The plain values of a calibration, as `config.json` has them."""

    game: str | None
    height: Side
    width: Side
    frame_skip: Annotated[int, Field(ge=1, le=1000)]
    pooled: bool
    flickers: bool
    brightness_floor: Annotated[float, Field(ge=0, lt=1)]
    max_foreground: Share
    tolerance: Annotated[int, Field(ge=0, le=255)]
    hud: tuple[tuple[Share, Share, Share, Share], ...]
    object_size: tuple[Length, Length] | None
    num_slots: Annotated[int, Field(ge=1, le=1024)]
    types: TypeSettings | None
