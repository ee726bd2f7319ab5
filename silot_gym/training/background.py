"""What is always there and no object, found from rollouts without labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening

from silot_gym.frames import pack_colours, unpack_colours
from silot_gym.rollouts import Episode

_FRAMES_PER_EPISODE = 50
_USUALLY = 0.5
"""Share of the frames from which on a pixel's colour is usual: games show other screens too."""


def estimate_background(
    episodes: Sequence[Episode], largest_object: int
) -> tuple[tuple[int, int, int], NDArray[np.uint8]]:
    """The background's colour and its picture, (height, width, 3) uint8, for `FrameConfig`.

    The picture has the colour that most pixels have, but for what is usually there and too large
    to be an object: pixels in a straight run, along a row or a column, of more such pixels than an
    object is wide. What is as still and smaller (shields, digits) stays to be found.

    Args:
        episodes: to find it from.
        largest_object: longest side of an object in pixels.
    """
    colours = np.concatenate([_some_frames(episode) for episode in episodes])
    palette, counts = np.unique(colours, return_counts=True)
    nothing = palette[counts.argmax()]
    usual = np.full(colours.shape[1:], nothing)
    for colour in palette:
        usual[(colours == colour).mean(0) >= _USUALLY] = colour
    drawn, run = usual != nothing, largest_object + 1
    large = binary_opening(drawn, np.ones((1, run))) | binary_opening(drawn, np.ones((run, 1)))
    red, green, blue = unpack_colours(nothing).tolist()
    return (red, green, blue), unpack_colours(np.where(large, usual, nothing))


def _some_frames(episode: Episode) -> NDArray[np.uint32]:
    """Some of an episode's frames, (T, height, width), one number a colour."""
    some = episode.frames[:: max(1, len(episode) // _FRAMES_PER_EPISODE)]
    colours: NDArray[np.uint32] = pack_colours(episode.palette)[some]
    return colours
