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
from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.rollouts.policies import RandomPolicy


def flickers(
    game: str, background: Background, seed: int = 0, config: CalibrationConfig = DEFAULTS
) -> bool:
    """Whether there are objects that are shown, hidden, and shown again at the same place.

    Args:
        game: any spelling that `make_atari` accepts.
        background: of the game's frames.
        seed: of the play.
        config: thresholds.
    """
    env = make_atari(game, pooled=False, frame_skip=1)
    policy = RandomPolicy(env)
    policy.start(seed)
    screens: deque[NDArray[np.int32]] = deque(maxlen=1 + config.flicker_return)
    frame, _ = env.reset(seed=seed)
    in_play = background.with_static()
    left_out = within(background.hud, *frame.shape[:2])
    looks = blinks = action = 0
    for t in range(config.flicker_screens):
        if t % config.flicker_action == 0:
            action = policy.action(frame)
        frame, _, terminated, truncated, _ = env.step(action)
        screens.append(_foreground(frame, in_play, left_out))
        if len(screens) == screens.maxlen and t % config.flicker_stride == 0:
            looks += 1
            blinks += _blinks(list(screens), config)
        if terminated or truncated:
            frame, _ = env.reset()
            screens.clear()
    env.close()
    return blinks >= config.flicker_share * max(looks, 1)


def _foreground(
    frame: NDArray[np.uint8], background: Background, left_out: Tensor
) -> NDArray[np.int32]:
    """The packed colours of a frame, -1 where play shows nothing."""
    packed = to_packed(frame)
    seen = background.foreground(torch.from_numpy(packed[None]))[0] & ~left_out
    return np.where(seen.numpy(), packed, np.int32(-1))


def _blinks(screens: Sequence[NDArray[np.int32]], config: CalibrationConfig) -> bool:
    """Whether something of the first screen is gone in the second and back in a later one."""
    first, second, *later = screens
    back = (first >= 0) & np.any([first == screen for screen in later], 0)
    for colour in np.unique(first[back & (second < 0)]):
        parts, count = ndimage.label(first == colour, np.ones((3, 3)))
        number = np.arange(1, count + 1)
        near = ndimage.maximum_filter(second == colour, 2 * config.flicker_distance + 1)
        gone = ndimage.maximum(near, parts, number) == 0
        stays = ndimage.mean(back, parts, number) >= 0.5
        large = ndimage.sum(parts > 0, parts, number) >= config.flicker_pixels
        if (gone & stays & large).any():
            return True
    return False
