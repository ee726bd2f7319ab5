"""Calibration before training, in the order in which it can be done."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym

from silot_gym.calibration.background import BackgroundKind, estimate_background
from silot_gym.calibration.calibration import Calibration
from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.calibration.flicker import flickers
from silot_gym.calibration.hud import find_hud
from silot_gym.calibration.object_size import typical_size
from silot_gym.compatibility import frames_of_env
from silot_gym.frames import FrameConfig
from silot_gym.rollouts import Episode


def calibrate(
    make_env: Callable[[], gym.Env[Any, Any]],
    episodes: Sequence[Episode],
    config: CalibrationConfig = DEFAULTS,
    *,
    background: BackgroundKind = "scenes",
    seed: int = 0,
) -> Calibration:
    """Measures what differs between games: background, HUD, size of objects, flicker.

    Args:
        make_env: Makes an environment as the one that the episodes are of. Of an Atari game, some
            screens are played again to see whether it flickers.
        episodes: Rollouts to measure on.
        config: Thresholds.
        background: How much of a background to look for; see `estimate_background`.
        seed: Of the screens that are played again.

    Returns:
        A calibration without what needs a trained model; see `Calibration.with_model`.
    """
    env = make_env()
    known = frames_of_env(env)
    env.close()
    height, width = episodes[0].frames.shape[1:]
    found = estimate_background(episodes, background, config)
    found = replace(found, hud=find_hud(episodes, found, config))
    game = known.get("game")
    frames = FrameConfig(
        game=game,
        height=height,
        width=width,
        frame_skip=known.get("frame_skip", 1),
        pooled=known.get("pooled", False),
        flickers=game is not None and flickers(game, found, seed, config),
        brightness_floor=config.brightness_floor,
        background=found,
    )
    return Calibration(frames, object_size=typical_size(episodes, found, config))
