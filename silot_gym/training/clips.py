"""Short clips of small crops, drawn from episodes so that they show something."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
        if crop_size > min(height, width):
            raise ValueError(
                f"expected crops no larger than the frames of {width} x {height}, "
                f"got {crop_size}: choose a smaller crop size"
            )
        self.episodes = episodes
        self.crop_size = crop_size
        self.lengths = np.array([len(episode) for episode in episodes])
        counts = [np.bincount(e.frames[:: max(1, len(e) // 20)].ravel()) for e in episodes]
        self.backgrounds = [int(count.argmax()) for count in counts]

    def draw(self, rng: np.random.Generator, batch: int, length: int) -> Tensor:
        """`batch` clips of `length` frames: (B, T, 3, crop, crop) uint8.

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
        return torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3)

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
        return episode.palette[frames[:, y : y + side, x : x + side]]
