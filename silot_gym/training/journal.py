"""TensorBoard: curves, and what the model makes of held-out frames."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from silot_gym.draw import draw_objects, enlarge
from silot_gym.model import SILOT
from silot_gym.model.rendering import is_drawn

_LEAST_PRESENCE = 0.5
"""Of objects that are drawn: training has no threshold of its own yet."""


class Journal:
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
        if self._writer is None:
            return
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    @torch.no_grad()
    def pictures(self, model: SILOT, video: Tensor, step: int) -> None:
        """Show a clip (T, 3, height, width): frames with boxes above, reconstructions below."""
        if self._writer is None:
            return
        tracked, reconstruction = model.reconstruct(video[None])
        columns = []
        for objects, frame, rebuilt in zip(tracked, video, reconstruction[0], strict=True):
            presence = objects.presence[0].cpu().numpy()
            boxes = model.boxes(objects, is_drawn(frame[None]))[0].cpu().numpy()
            slots = np.where(presence > _LEAST_PRESENCE, np.arange(len(presence)), -1)
            above = draw_objects(
                _to_uint8(frame), {"track_id": slots, "boxes": boxes, "presence": presence}
            )
            columns.append(np.concatenate([above, enlarge(_to_uint8(rebuilt))], 0))
        self._writer.add_image("tracked", np.concatenate(columns, 1), step, dataformats="HWC")


def _to_uint8(frame: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Frame (3, height, width) in [0, 1] to (height, width, 3) in 0..255."""
    image = (frame.clamp(0, 1) * 255).round().to(torch.uint8)
    return image.permute(1, 2, 0).cpu().numpy()
