from pathlib import Path

import numpy as np

from silot_gym.checkpoint import Checkpoint
from silot_gym.play.config import PlayConfig
from silot_gym.rollouts import EpisodeBuilder


def test_slots_and_types_are_of_the_play_that_will_be(tiny_checkpoint: Path) -> None:
    builder, rng = EpisodeBuilder(), np.random.default_rng(0)
    for t in range(4):
        builder.add(rng.integers(0, 4, (60, 48, 1), np.uint8).repeat(3, 2) * 60, t - 1)
    checkpoint, episodes = Checkpoint.load(tiny_checkpoint), [builder.build()]
    seen = checkpoint.calibration.with_model(checkpoint.model, episodes)
    assert seen.num_slots > 2 and seen.types is not None
    play = PlayConfig(presence_threshold=1.1)  # which nothing reaches
    unseen = checkpoint.calibration.with_model(checkpoint.model, episodes, play=play)
    assert (unseen.num_slots, unseen.types) == (2, None)
