"""One episode in memory: palette indices, colours and actions.

An Atari screen has few colours, so frames are kept as indices into a palette of their episode:
exact, a third of the size of RGB, and small when compressed.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESET_ACTION", "Episode", "EpisodeBuilder"]

RESET_ACTION = -1  # stands in `Episode.actions` for the frame that no action led to


@dataclasses.dataclass(frozen=True, eq=False)
class Episode:
    """The frames of one episode and the actions between them.

    Attributes:
        frames: (T, H, W) uint8, or uint16 where the palette exceeds 256 colours; palette indices.
        palette: (P, 3) uint8, RGB.
        actions: (T,) int64; `frames[t]` was observed after `actions[t]`, `RESET_ACTION` at a reset.
    """

    frames: NDArray[Any]
    palette: NDArray[np.uint8]
    actions: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raises ValueError where the arrays don't fit the description above."""
        frames, palette, actions = self.frames, self.palette, self.actions
        if frames.ndim != 3 or frames.dtype not in (np.uint8, np.uint16) or not frames.size:
            raise ValueError(f"expected frames (T, H, W) uint8 or uint16, got {_kind(frames)}")
        if palette.ndim != 2 or palette.shape[1] != 3 or palette.dtype != np.uint8:
            raise ValueError(f"expected a palette (P, 3) uint8, got {_kind(palette)}")
        if actions.shape != frames.shape[:1] or actions.dtype != np.int64:
            raise ValueError(f"expected actions ({len(frames)},) int64, got {_kind(actions)}")
        if frames.max() >= len(palette):
            raise ValueError(f"expected indices below {len(palette)} colours, got {frames.max()}")

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.frames)

    def __repr__(self) -> str:
        """Returns the sizes, not the arrays."""
        _, height, width = self.frames.shape
        return f"Episode({len(self)} frames of {height}x{width}, {len(self.palette)} colours)"

    def rgb(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Returns frames `start` to `stop` (exclusive) as observed, (t, H, W, 3) uint8."""
        return self.palette.take(self.frames[start:stop], axis=0)


class EpisodeBuilder:
    """Builds an episode frame by frame and never holds more than one RGB frame."""

    def __init__(self) -> None:
        """Starts without frames."""
        # For each 24-bit colour its palette index + 1, or 0 if it is new. A direct table is the
        # fastest look-up, and the system provides only the few pages of it that are touched.
        self._code_of = np.zeros(1 << 24, np.uint16)
        self._palette: list[int] = []
        self._frames: list[NDArray[Any]] = []
        self._actions: list[int] = []

    def __len__(self) -> int:
        """Returns the number of frames so far."""
        return len(self._frames)

    def add(self, frame: NDArray[np.uint8], action: int) -> None:
        """Adds an RGB frame (H, W, 3) uint8 and the action that led to it."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"expected an RGB frame (H, W, 3) uint8, got {_kind(frame)}")
        colours = frame[..., 0].astype(np.intp)  # (H, W); indexing with intp avoids a conversion
        for channel in (1, 2):
            colours <<= 8
            colours |= frame[..., channel]
        codes = self._code_of.take(colours)
        if not codes.all():
            new = np.unique(colours[codes == 0]).tolist()
            self._palette += new
            if len(self._palette) > np.iinfo(np.uint16).max:
                raise ValueError(f"expected fewer than 65536 colours, got {len(self._palette)}")
            self._code_of[self._palette] = np.arange(1, len(self._palette) + 1)
            codes = self._code_of.take(colours)
        self._frames.append((codes - 1).astype(self._dtype()))
        self._actions.append(action)

    def build(self) -> Episode:
        """Returns the episode of all frames added, at least one and all of one size."""
        colours = np.array(self._palette, np.int64)  # (P,)
        palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
        frames = np.stack(self._frames, dtype=self._dtype())
        return Episode(frames, palette.astype(np.uint8), np.array(self._actions, np.int64))

    def _dtype(self) -> type[np.unsignedinteger[Any]]:
        return np.uint8 if len(self._palette) <= 256 else np.uint16


def _kind(array: NDArray[Any]) -> str:
    return f"{array.shape} {array.dtype}"
