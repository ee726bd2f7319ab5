"""Short clips of small crops, drawn from episodes so that they show something."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from silot_gym.frames import FrameConfig, pack_colours
from silot_gym.rollouts import Episode


class ClipSampler:
    """Draws clips at random from episodes.

    SILOT is spatially invariant, so that it learns full frames from crops. A crop is placed on a
    pixel of a colour that is drawn among those in the frame: otherwise what is rare or small (a
    bullet, a lone digit) would be learned long after what fills the screen.
    """

    def __init__(self, episodes: Sequence[Episode], frames: FrameConfig, crop_size: int) -> None:
        """Takes the episodes, their preprocessing and the side of a crop in pixels.

        Raises:
            ValueError: the frames are smaller than the crop.
        """
        height, width = episodes[0].frames.shape[1:]
        check_crop(crop_size, height, width)
        self.episodes = episodes
        self.frames = frames
        self.crop_size = crop_size
        self.lengths = np.array([len(episode) for episode in episodes])
        colour = np.array(frames.background_colour, np.uint8)
        background = frames.background
        if background is None:
            background = np.full((height, width, 3), colour)
        self._nothing = [
            (_indices(colour, episode.palette), _indices(background, episode.palette))
            for episode in episodes
        ]

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
        places = [self._place(rng, i, rng.integers(starts[i]), length) for i in chosen]
        return np.array(places, np.int64).reshape(batch, 4)

    def clips(self, places: NDArray[np.int64], length: int) -> Tensor:
        """The clips in `places` as the model sees them: (B, T, 3, crop, crop) in [0, 1]."""
        clips = np.stack([self._clip(length, *place) for place in places.tolist()])
        return torch.from_numpy(clips).movedim(-1, -3).float() / 255

    def following(
        self, rng: np.random.Generator, places: NDArray[np.int64], length: int, renewal: float
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Places from where clips go on, but for some that are drawn anew.

        Args:
            rng: what draws.
            places: (B, 4), with the frames that follow those seen so far.
            length: frames of a clip.
            renewal: probability that a clip is drawn anew; it is where its episode is over.

        Returns:
            The places, and which of them are new, (B,).
        """
        over = places[:, 1] + length > self.lengths[places[:, 0]]
        new = over | (rng.random(len(places)) < renewal)
        places = places.copy()
        places[new] = self.places(rng, int(new.sum()), length)
        return places, new

    def _place(
        self, rng: np.random.Generator, index: int, start: int, length: int
    ) -> tuple[int, int, int, int]:
        """Episode, first frame, top and left of a crop that shows something."""
        frames = self.episodes[index].frames
        colour, background = self._nothing[index]
        shown = frames[start + rng.integers(length)]
        something = (shown != colour) & (shown != background)
        present = np.flatnonzero(np.bincount(shown[something]))
        corner = np.array([0, 0])
        room = np.array(shown.shape) - self.crop_size
        if len(present):
            pixels = np.argwhere((shown == rng.choice(present)) & something)
            corner = rng.choice(pixels) - rng.integers(self.crop_size, size=2)
        y, x = np.clip(corner, 0, room)
        return index, start, y, x

    def _clip(self, length: int, index: int, start: int, y: int, x: int) -> NDArray[np.uint8]:
        """One clip (T, crop, crop, 3)."""
        episode, side = self.episodes[index], self.crop_size
        crop = episode.frames[start : start + length, y : y + side, x : x + side]
        # What `FrameConfig.prepare` does, on indices instead of colours.
        colour, background = self._nothing[index]
        clip: NDArray[np.uint8] = episode.palette[crop]
        clip[(crop == colour) | (crop == background[y : y + side, x : x + side])] = 0
        return clip


def _indices(colours: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where a palette (P, 3) has colours (..., 3); -1 where it has not."""
    same = pack_colours(colours)[..., None] == pack_colours(palette)
    return np.where(same.any(-1), same.argmax(-1), -1)


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
