"""How many slots a game needs, counted on rollouts."""

import math
from collections.abc import Sequence

from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.checkpoint import Checkpoint
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts import Episode


def choose_num_slots(
    checkpoint: Checkpoint, episodes: Sequence[Episode], config: CalibrationConfig = DEFAULTS
) -> int:
    """K for play: a quarter more than the most objects found in a frame (the paper's rule).

    Args:
        checkpoint: the model and its calibration so far.
        episodes: some of their frames are looked at, one by one.
        config: thresholds.
    """
    step = max(1, sum(len(episode) for episode in episodes) // config.slots_frames)
    tracker, most = SlotTracker(checkpoint, num_slots=config.max_slots), 1
    for episode in episodes:
        for t in range(0, len(episode) - 1, step):
            tracker.reset()
            # A second look settles what the first one was in doubt of.
            *_, shown = (tracker.step(frame[None]) for frame in episode.rgb(t, t + 2))
            most = max(most, int((shown.track_id >= 0).sum()))
    return min(config.max_slots, math.ceil(config.slots_margin * most))
