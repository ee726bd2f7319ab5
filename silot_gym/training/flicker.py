"""Whether a game draws objects on some screens only, found from a short play without labels."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from silot_gym.atari import make_atari
from silot_gym.background import Background, to_packed, within
from silot_gym.rollouts.policies import RandomPolicy

_SCREENS = 1000
_ACT = 4
"""Screens for which an action is held."""
_LOOK = 3
"""Of so many screens one is looked at: an odd number, lest it is always one that shows all."""
_RETURN = 4
"""Screens within which what is hidden comes back."""
_NEAR = 8
"""Pixels within which an object that has only moved is found again."""
_SMALLEST = 4
"""Pixels; less is no object."""
_OFTEN = 0.05
"""Share of the screens. Ten games that were looked at have 0 or more than .3."""


def flickers(game: str, background: Background, seed: int = 0) -> bool:
    """Whether there are objects that are shown, hidden, and shown again at the same place.

    Args:
        game: any spelling that `make_atari` accepts.
        background: of the game's frames.
        seed: of the play.
    """
    env = make_atari(game, pooled=False, frame_skip=1)
    policy = RandomPolicy(env)
    policy.start(seed)
    screens: deque[NDArray[np.int32]] = deque(maxlen=1 + _RETURN)
    frame, _ = env.reset(seed=seed)
    in_play = background.without_stills()
    left_out = within(background.displays, *frame.shape[:2])
    looks = blinks = action = 0
    for t in range(_SCREENS):
        if t % _ACT == 0:
            action = policy.action(frame)
        frame, _, terminated, truncated, _ = env.step(action)
        screens.append(_drawn(frame, in_play, left_out))
        if len(screens) == screens.maxlen and t % _LOOK == 0:
            looks += 1
            blinks += _blinks(list(screens))
        if terminated or truncated:
            frame, _ = env.reset()
            screens.clear()
    env.close()
    return blinks >= _OFTEN * max(looks, 1)


def _drawn(frame: NDArray[np.uint8], background: Background, left_out: Tensor) -> NDArray[np.int32]:
    """The packed colours of a frame, -1 where nothing is drawn that play shows."""
    packed = to_packed(frame)
    seen = background.drawn(torch.from_numpy(packed[None]))[0] & ~left_out
    return np.where(seen.numpy(), packed, np.int32(-1))


def _blinks(screens: Sequence[NDArray[np.int32]]) -> bool:
    """Whether something of the first screen is gone in the second and back in a later one."""
    first, second, *later = screens
    back = (first >= 0) & np.any([first == screen for screen in later], 0)
    for colour in np.unique(first[back & (second < 0)]):
        parts, count = ndimage.label(first == colour, np.ones((3, 3)))
        number = np.arange(1, count + 1)
        near = ndimage.maximum_filter(second == colour, 2 * _NEAR + 1)
        gone = ndimage.maximum(near, parts, number) == 0
        stays = ndimage.mean(back, parts, number) >= 0.5
        large = ndimage.sum(parts > 0, parts, number) >= _SMALLEST
        if (gone & stays & large).any():
            return True
    return False
