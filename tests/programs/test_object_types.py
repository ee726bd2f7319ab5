import numpy as np

from benchmarks import object_types
from silot_gym.checkpoint import Checkpoint

DATA = object_types.Path(__file__).parents[2] / "benchmarks" / "data"


def test_the_types_that_are_scored_are_those_that_play_shows():
    checkpoint = Checkpoint.load("Pong")
    with np.load(DATA / "Pong.npz") as file:
        frames = file["palette"][file["frames"][:2, 20:28]]
        boxes, wanted = file["boxes"][:2, 20:28], file["track_id"][:2, 20:28] >= 0
        wanted &= ~file["hud"][:2, 20:28]
    steps = object_types._slots(checkpoint, frames)
    shown = np.stack([slots.category for slots in steps], 1)
    assert (shown >= 0).any()
    np.testing.assert_array_equal(object_types._voted(checkpoint.types, steps), shown)
    matched = object_types._matched(steps, boxes, wanted)
    # Nearly always both paddles, and often the ball, in each of 16 frames.
    assert len(matched) >= 30
    assert len(np.unique(matched[:, :3], axis=0)) == len(matched)
    assert wanted[tuple(matched[:, [0, 1, 3]].T)].all()


def test_purity_counts_the_most_frequent_category_of_each_type():
    truth, types = np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 5, 5, 7, 7])
    assert object_types._scores(truth, types)["purity"] == round(4 / 6, 4)
    assert object_types._scores(truth, truth + 1) == {"purity": 1, "AMI": 1}
    assert object_types._scores(truth, np.zeros(6, int))["AMI"] == 0
