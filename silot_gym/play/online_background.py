"""The background of live frames, also in unknown rooms and in other colours."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from silot_gym.background import Background, near
from silot_gym.play.config import PlayConfig
from silot_gym.play.recolouring import Recolouring


class OnlineBackground:
    """The background of several lanes: the calibrated one, or what a lane shows in its place.

    Where more of a frame is foreground than in any calibrated scene, this is no crowd of objects
    but another background: a calibrated one in other colours (`Recolouring`), or else an unknown
    room, which is learned (`UnknownRoom`). Other colours are also looked for in the first frame.
    """

    def __init__(self, background: Background, lanes: int, play: PlayConfig) -> None:
        """No lane has shown a frame."""
        self.background = background
        self._play = play
        self._recolouring: Recolouring | None = None
        self._others: list[Background | UnknownRoom | None] = [None] * lanes
        self._crowded: list[bool | None] = [None] * lanes
        """Whether a lane's last frame had more foreground than calibrated scenes have."""

    def forget(self, lanes: Tensor) -> None:
        """Take lanes, (B,) bool, to have shown no frame."""
        for lane in lanes.nonzero()[:, 0].tolist():
            self._others[lane] = self._crowded[lane] = None

    def state(self) -> "BackgroundState":
        """What the lanes have shown so far."""
        return [copy.copy(other) for other in self._others], list(self._crowded)

    def restore(self, state: "BackgroundState") -> None:
        """Goes on from what `state` gave."""
        others, crowded = state
        self._others, self._crowded = [copy.copy(other) for other in others], list(crowded)

    def foreground(self, packed: Tensor, lanes: Sequence[int] | None = None) -> Tensor:
        """Where frames show something else than background.

        Args:
            packed: (B, height, width) int32, a frame of each lane.
            lanes: the lanes, if these are not all.

        Returns:
            (B, height, width) bool.
        """
        foreground = self.background.foreground(packed)
        if not self._play.online_background:
            return foreground
        rows = range(len(self._others)) if lanes is None else lanes
        for row, (lane, crowded) in enumerate(zip(rows, self._too_full(foreground), strict=True)):
            if self._others[lane] is not None or crowded != self._crowded[lane]:
                other = self._other(lane, packed[row], foreground[row], crowded)
                if other is not None:
                    # What has kept its colour is background, too: parts may be of one colour.
                    foreground[row] &= other.foreground(packed[row, None])[0]
        return foreground

    def behind(self, packed: Tensor) -> Tensor:
        """The background of frames (B, height, width) of all lanes, the last that were shown."""
        behind = self.background.behind(packed).clone()
        for lane, other in enumerate(self._others):
            if other is not None:
                behind[lane] = other.behind(packed[lane, None])[0]
        return behind

    def _other(
        self, lane: int, packed: Tensor, foreground: Tensor, crowded: bool
    ) -> "Background | UnknownRoom | None":
        """What a lane's frame (height, width) shows in place of the calibrated background."""
        self._crowded[lane] = crowded
        if not (isinstance(self._others[lane], UnknownRoom) and crowded):
            other: Background | UnknownRoom | None = self._recoloured(packed, foreground)
            if other is None and crowded:
                other = UnknownRoom(packed, self.background.tolerance, self._play.static_frames)
            self._others[lane] = other
        return self._others[lane]

    def _recoloured(self, packed: Tensor, foreground: Tensor) -> Background | None:
        """The calibrated background in the colours of a frame, if it is as full as usual then."""
        if self._recolouring is None:
            self._recolouring = Recolouring(self.background, *packed.shape)
        for other in self._recolouring.of(packed, self._play.recoloured_share):
            if not self._too_full(foreground & other.foreground(packed[None]))[0]:
                return other
        return None

    def _too_full(self, foreground: Tensor) -> list[bool]:
        """Whether frames (B, height, width) have more foreground than calibrated scenes."""
        count = foreground.byte().flatten(1).sum(1, dtype=torch.int32)
        most = self.background.max_foreground * foreground[0].numel()
        crowded: list[bool] = (count > most).tolist()
        return crowded


class UnknownRoom:
    """The background of a room of which there is no picture.

    Its first frame is background, and so is each pixel that then stays unchanged for some frames:
    otherwise the places that objects have left would be objects for ever.
    """

    def __init__(self, packed: Tensor, tolerance: int, static_frames: int) -> None:
        """Begins with the first frame, (height, width)."""
        self._tolerance, self._static_frames = tolerance, static_frames
        self._picture = self._last = packed
        self._unchanged = torch.full_like(packed, -1)  # 0 with the first frame

    def foreground(self, packed: Tensor) -> Tensor:
        """Where the next frame (1, height, width) shows something else, (1, height, width) bool."""
        frame = packed[0]
        same = near(frame, self._last, self._tolerance)
        self._unchanged = torch.where(same, self._unchanged + 1, 0)
        static = self._unchanged >= self._static_frames
        self._picture = torch.where(static, frame, self._picture)
        self._last = frame
        return ~near(frame, self._picture, self._tolerance)[None]

    def behind(self, packed: Tensor) -> Tensor:
        """The background of a frame (1, height, width), the same shape."""
        return self._picture[None]


BackgroundState = tuple[list[Background | UnknownRoom | None], list[bool | None]]
"""For each lane what it shows in place of the calibrated background, and whether it was crowded.

Neither changes its tensors in place, so that copies may share them.
"""
