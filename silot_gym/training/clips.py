"""Short clips of small crops, drawn from episodes so that they show something."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from silot_gym.frames import FrameConfig
from silot_gym.rollouts import Episode


class ClipSampler:
    """Draws clips at random from episodes.

    SILOT is spatially invariant, so that it learns full frames from crops. A crop is placed on a
    pixel of a colour that is drawn among those in the frame: otherwise what is rare or small (a
    bullet, a lone digit) would be learned long after what fills the screen.
    """

    def __init__(self, episodes: Sequence[Episode], crop_size: int) -> None:
        """Takes the episodes and the side of a crop in pixels.

        Raises:
            ValueError: the frames are smaller than the crop.
        """
        height, width = episodes[0].frames.shape[1:]
        check_crop(crop_size, height, width)
        self.episodes = episodes
        self.crop_size = crop_size
        self.lengths = np.array([len(episode) for episode in episodes])
        self.backgrounds = [int(_colour_counts(episode).argmax()) for episode in episodes]

    def draw(
        self, rng: np.random.Generator, batch: int, length: int, frames: FrameConfig
    ) -> Tensor:
        """`batch` clips of `length` frames as the model sees them: (B, T, 3, crop, crop).

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
        clips = [self._clip(rng, int(i), int(rng.integers(starts[i])), length) for i in chosen]
        return frames.prepare(torch.from_numpy(np.stack(clips)))

    def _clip(
        self, rng: np.random.Generator, index: int, start: int, length: int
    ) -> NDArray[np.uint8]:
        """One clip (T, crop, crop, 3)."""
        episode, side = self.episodes[index], self.crop_size
        frames = episode.frames[start : start + length]
        shown = frames[rng.integers(length)]
        colours = np.bincount(shown.ravel(), minlength=len(episode.palette))
        colours[self.backgrounds[index]] = 0
        present = np.flatnonzero(colours)
        corner = np.array([0, 0])
        room = np.array(shown.shape) - side
        if len(present):
            pixels = np.argwhere(shown == rng.choice(present))
            corner = rng.choice(pixels) - rng.integers(side, size=2)
        y, x = np.clip(corner, 0, room)
        clip: NDArray[np.uint8] = episode.palette[frames[:, y : y + side, x : x + side]]
        return clip


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


def common_colour(episodes: Sequence[Episode]) -> tuple[int, int, int]:
    """The colour (red, green, blue) in 0..255 that most pixels of the episodes have."""
    counts: dict[tuple[int, int, int], int] = {}
    for episode in episodes:
        for (red, green, blue), count in zip(
            episode.palette.tolist(), _colour_counts(episode).tolist(), strict=True
        ):
            counts[red, green, blue] = counts.get((red, green, blue), 0) + count
    return max(counts, key=lambda colour: counts[colour])


def _colour_counts(episode: Episode) -> NDArray[np.int64]:
    """Pixels of each of the palette's colours, in some twenty of the episode's frames."""
    some = episode.frames[:: max(1, len(episode) // 20)]
    return np.bincount(some.ravel(), minlength=len(episode.palette))
