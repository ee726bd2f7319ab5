"""TensorBoard: curves and pictures of a training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter


class TensorBoardLogger:
    """The log of a run; a resumed run goes on in it from its step."""

    def __init__(self, folder: Path, step: int, writes: bool = True) -> None:
        """Opens the log of a folder; with `writes` false all that is told is forgotten."""
        self._writer: SummaryWriter | None = None
        if writes:
            self._writer = SummaryWriter(folder / "tensorboard", purge_step=step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Add a point to the curve of each value."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Add a picture, (height, width, 3)."""
        if self._writer is not None:
            self._writer.add_image(name, picture, step, dataformats="HWC")
