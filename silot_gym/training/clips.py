"""Short clips of small crops, drawn from episodes so that they show something."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from silot_gym.background import to_packed
from silot_gym.frames import FrameConfig
from silot_gym.rollouts import Episode


@dataclass(frozen=True)
class ClipConfig:
    """Which clips are shown.

    Attributes:
        eventful: share of the clips that are drawn among those in which most changes.
        most_changes: share of the frames that count as such.
        moving: share of the crops that are placed on what is not as it was a frame before, if
            anything is.
    """

    eventful: float = 0.25
    most_changes: float = 0.01
    moving: float = 0.5


class ClipSampler:
    """Draws clips at random from episodes.

    Some are drawn where more changes from one frame to the next than almost anywhere else: how
    objects move when a row of aliens drops is too rare to be learned otherwise.

    SILOT is spatially invariant, so that it learns full frames from crops. A crop is placed on a
    pixel of a colour that is drawn among those in the frame, and many of them on one that has just
    changed: otherwise what is rare or small (a bullet, a ball) would be learned long after what
    fills the screen, or what stands still.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        frames: FrameConfig,
        crop_size: int,
        device: torch.device | str = "cpu",
        config: ClipConfig = ClipConfig(),
    ) -> None:
        """Takes the episodes, their preprocessing and the side of a crop in the frame's pixels.

        Places are drawn by the host. Clips are cut out on the device: it holds all frames.

        Raises:
            ValueError: the frames are smaller than the crop.
        """
        height, width = episodes[0].frames.shape[1:]
        check_crop(crop_size, height, width)
        self.frames = frames
        self.crop_size, self.config = crop_size, config
        self.lengths = np.array([len(episode) for episode in episodes])
        # Indices into colours as the model sees them, of which the first is background.
        self._shown = [_without_background(episode, frames) for episode in episodes]
        self._events = _events(self._shown, config.most_changes)
        self._on_device = [torch.from_numpy(shown).to(device) for shown in self._shown]
        # The colours of all episodes below one another, and where each one's begin.
        colours = [_seen(episode.palette, frames) for episode in episodes]
        self._colours = torch.from_numpy(np.concatenate(colours)).to(device)
        self._first_colour = np.cumsum([0, *map(len, colours[:-1])])

    def settings(self) -> dict[str, Any]:
        """What clips depend on, besides the episodes."""
        return {
            **self.frames.numbers(),
            "background": self.frames.background.digest(),
            "crop_size": self.crop_size,
            **vars(self.config),
        }

    def draw(self, rng: np.random.Generator, batch: int, length: int) -> Tensor:
        """`batch` clips of `length` frames, (B, T, 3, crop, crop), in places drawn at random."""
        return self.clips(self.places(rng, batch, length), length)

    def places(self, rng: np.random.Generator, batch: int, length: int) -> NDArray[np.int64]:
        """Where clips may be taken: (B, 4) of episode, first frame, top and left.

        Raises:
            ValueError: no episode is as long as that.
        """
        starts = np.maximum(self.lengths - length + 1, 0)
        if not starts.any():
            raise ValueError(
                f"expected an episode of {length} frames or more, the longest has "
                f"{self.lengths.max()}: collect longer episodes or train on shorter clips"
            )
        chosen = rng.choice(len(starts), size=batch, p=starts / starts.sum())
        places = []
        for index in chosen:
            start = rng.integers(starts[index])
            if length > 1 and len(self._events) and rng.random() < self.config.eventful:
                event, frame = self._events[rng.integers(len(self._events))]
                if starts[event]:
                    index = event
                    start = np.clip(frame - rng.integers(1, length), 0, starts[event] - 1)
            places.append(self._place(rng, index, start, length))
        return np.array(places, np.int64).reshape(batch, 4)

    def clips(self, places: NDArray[np.int64], length: int) -> Tensor:
        """The clips in `places` as the model sees them: (B, T, 3, crop, crop) in [0, 1]."""
        side, device = self.crop_size, self._colours.device
        shown = torch.stack(
            [
                self._on_device[episode][start : start + length, y : y + side, x : x + side]
                for episode, start, y, x in places.tolist()
            ]
        )
        first = torch.from_numpy(self._first_colour[places[:, 0]]).to(device, non_blocking=True)
        colours = self._colours[shown.long() + first[:, None, None, None]]
        return colours.movedim(-1, -3)

    def following(
        self, rng: np.random.Generator, places: NDArray[np.int64], length: int, restart_prob: float
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Places from where clips go on, but for some that are drawn anew.

        Args:
            rng: what draws.
            places: (B, 4), with the frames that follow those seen so far.
            length: frames of a clip.
            restart_prob: probability that a clip is drawn anew; it is where its episode is over.

        Returns:
            The places, and which of them are new, (B,).
        """
        over = places[:, 1] + length > self.lengths[places[:, 0]]
        new = over | (rng.random(len(places)) < restart_prob)
        places = places.copy()
        places[new] = self.places(rng, int(new.sum()), length)
        return places, new

    def _place(
        self, rng: np.random.Generator, index: int, start: int, length: int
    ) -> tuple[int, int, int, int]:
        """Episode, first frame, top and left of a crop that shows something."""
        frame = start + rng.integers(length)
        shown = self._shown[index][frame]
        if frame > 0 and rng.random() < self.config.moving:
            moved = shown * (shown != self._shown[index][frame - 1])
            shown = moved if moved.any() else shown
        present = np.flatnonzero(np.bincount(shown[shown > 0]))
        corner = np.array([0, 0])
        room = np.array(shown.shape) - self.crop_size
        if len(present):
            pixels = np.argwhere(shown == rng.choice(present))
            corner = rng.choice(pixels) - rng.integers(self.crop_size, size=2)
        y, x = np.clip(corner, 0, room)
        return index, start, y, x


def _without_background(episode: Episode, frames: FrameConfig) -> NDArray[Any]:
    """One more than the palette's indices where a frame shows something, 0 elsewhere."""
    packed = torch.from_numpy(to_packed(episode.palette))
    few = len(episode.palette) < 256
    shown = np.empty(episode.frames.shape, np.uint8 if few else np.uint16)
    for t, frame in enumerate(torch.from_numpy(episode.frames.astype(np.int32))):
        foreground = frames.background.foreground(packed[frame][None])[0]
        shown[t] = ((frame + 1) * foreground).numpy()
    return shown


def _events(shown: Sequence[NDArray[Any]], most: float) -> NDArray[np.int64]:
    """The frames, (N, 2) of episode and number, that differ most from those before them."""
    changed = [np.zeros(len(frames)) for frames in shown]
    for counts, frames in zip(changed, shown, strict=True):
        for t in range(1, len(frames)):
            counts[t] = np.count_nonzero(frames[t] != frames[t - 1])
    least = max(1.0, np.quantile(np.concatenate(changed), 1 - most))
    return np.array(
        [
            (index, t)
            for index, counts in enumerate(changed)
            for t in np.flatnonzero(counts >= least)
        ],
        np.int64,
    ).reshape(-1, 2)


def _seen(palette: NDArray[np.uint8], frames: FrameConfig) -> NDArray[np.float32]:
    """What `FrameConfig.prepare` makes of background, and then of each colour: (P + 1, 3)."""
    colours = torch.from_numpy(palette)[None, None]  # a frame of one row
    seen = frames.prepare(colours, torch.ones(1, 1, len(palette), dtype=torch.bool))
    return np.concatenate([np.zeros((1, 3), np.float32), seen[0, :, 0].T.numpy()])


def check_crop(crop_size: int, height: int, width: int) -> None:
    """Refuse a side of crops, in pixels, that frames of this size do not have.

    Raises:
        ValueError: it is below 1, or above the frames' height or width.
    """
    if not 1 <= crop_size <= min(height, width):
        raise ValueError(
            f"expected a crop size of 1 or more and no larger than the frames of {width} x "
            f"{height}, got {crop_size}"
        )
