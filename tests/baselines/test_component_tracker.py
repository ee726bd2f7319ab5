"""Components of drawn rectangles are found, described and followed."""

import numpy as np
import pytest
import torch

from silot_gym.background import Background
from silot_gym.baselines.component_tracker import ComponentTracker
from silot_gym.calibration.calibration import Calibration
from silot_gym.checkpoint import Checkpoint
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT
from silot_gym.object_types import ObjectTypes
from tests.conftest import TINY

HEIGHT, WIDTH = 60, 80
GROUND = (10, 20, 30)
RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    frames = FrameConfig(None, HEIGHT, WIDTH, background=Background.of([GROUND]))
    return Checkpoint(SILOT(TINY).eval(), Calibration(frames, num_slots=4))


def picture(*rectangles):
    """A frame (1, height, width, 3) with rectangles (x0, y0, x1, y1, colour)."""
    frame = np.full((1, HEIGHT, WIDTH, 3), GROUND, np.uint8)
    for x0, y0, x1, y1, colour in rectangles:
        frame[0, y0:y1, x0:x1] = colour
    return frame


def test_an_object_is_described_by_box_colour_and_move(checkpoint):
    tracker = ComponentTracker(checkpoint)
    slots = tracker.step(picture((8, 6, 16, 12, RED)))
    assert slots.track_id.tolist() == [[0, -1, -1, -1]]
    assert slots.boxes[0].tolist() == [[8, 6, 16, 12], *[[0] * 4] * 3]
    np.testing.assert_allclose(slots.where[0, 0], [12 / 80, 9 / 60, 8 / 80, 6 / 60], rtol=1e-6)
    assert slots.what[0, 0].tolist() == [1, -1, -1]
    assert slots.presence.tolist() == [[1, 0, 0, 0]]
    assert slots.category.tolist() == [[-1] * 4]
    assert not slots.velocity.any()

    slots = tracker.step(picture((12, 3, 20, 9, RED)))
    assert slots.track_id.tolist() == [[0, -1, -1, -1]]
    np.testing.assert_allclose(slots.velocity[0, 0], [4 / 80, -3 / 60], rtol=1e-6)


def test_a_sprite_of_several_colours_is_one_region_with_their_mean(checkpoint):
    # They touch at a corner only.
    frame = picture((10, 10, 14, 14, RED), (14, 14, 18, 18, WHITE), (40, 40, 44, 44, BLACK))
    slots = ComponentTracker(checkpoint).step(frame)
    assert slots.boxes[0, :2].tolist() == [[10, 10, 18, 18], [40, 40, 44, 44]]
    np.testing.assert_allclose(slots.what[0, :2], [[1, 0, 0], [-1, -1, -1]], atol=1e-6)


def test_objects_keep_slot_and_id_while_others_come_and_go(checkpoint):
    tracker = ComponentTracker(checkpoint)
    tracker.step(picture((0, 0, 5, 5, RED), (30, 30, 40, 40, WHITE)))
    slots = tracker.step(picture((33, 28, 43, 38, WHITE)))
    assert slots.track_id.tolist() == [[-1, 1, -1, -1]]
    assert not slots.boxes[0, 0].any() and not slots.what[0, 0].any()
    slots = tracker.step(picture((0, 0, 5, 5, RED), (36, 26, 46, 36, WHITE)))
    assert slots.track_id.tolist() == [[2, 1, -1, -1]]
    assert not slots.velocity[0, 0].any()  # it is new


def test_links_are_those_with_the_smallest_sum_of_distances(checkpoint):
    tracker = ComponentTracker(checkpoint)
    tracker.step(picture((10, 10, 14, 14, RED), (22, 10, 26, 14, WHITE)))
    # Both move right by 10: the left one is now nearer to where the right one was.
    slots = tracker.step(picture((20, 10, 24, 14, RED), (32, 10, 36, 14, WHITE)))
    assert slots.track_id[0, :2].tolist() == [0, 1]
    assert slots.boxes[0, :2, 0].tolist() == [20, 32]
    np.testing.assert_allclose(slots.velocity[0, :2], [[10 / 80, 0]] * 2, rtol=1e-6)


@pytest.mark.parametrize(("step", "track"), [(30, 0), (31, 1)])
def test_what_is_more_than_30_pixels_away_is_new(step, track, checkpoint):
    tracker = ComponentTracker(checkpoint)
    tracker.step(picture((10, 10, 14, 14, RED)))
    slots = tracker.step(picture((10 + step, 10, 14 + step, 14, RED)))
    assert slots.track_id.max() == track
    assert (slots.velocity[0, 0, 0] > 0) == (track == 0)


def test_the_largest_are_kept(checkpoint):
    sizes = [3, 7, 5, 4, 6]
    squares = [(15 * n, 10, 15 * n + size, 10 + size, RED) for n, size in enumerate(sizes)]
    slots = ComponentTracker(checkpoint, num_slots=3).step(picture(*squares))
    assert slots.track_id.shape == (1, 3)
    assert sorted(slots.boxes[0, :, 0].tolist()) == [15, 30, 60]


def test_empty_frames_have_no_objects(checkpoint):
    tracker = ComponentTracker(checkpoint)
    tracker.step(picture((10, 10, 14, 14, RED)))
    for _ in range(2):
        slots = tracker.step(picture())
        assert (slots.track_id == -1).all()
        assert not any(getattr(slots, name).any() for name in ("presence", "where", "what"))
    assert tracker.step(picture((10, 10, 14, 14, RED))).track_id[0, 0] == 1


def test_what_is_ignored_is_not_seen(checkpoint):
    frame = picture((0, 0, 5, 5, RED), (40, 40, 50, 50, WHITE))
    slots = ComponentTracker(checkpoint, ignore=[(0, 0, 1, 0.25)]).step(frame)
    assert slots.track_id.tolist() == [[0, -1, -1, -1]]
    assert slots.boxes[0, 0].tolist() == [40, 40, 50, 50]


def test_lanes_are_apart_and_reset_one_by_one(checkpoint):
    left = [picture((5 + 3 * t, 5, 10 + 3 * t, 10, RED)) for t in range(6)]
    right = [picture((50, 5 + t, 60, 10 + t, WHITE), (5, 50, 8, 53, RED)) for t in range(6)]
    both = ComponentTracker(checkpoint, lanes=2)
    alone = [ComponentTracker(checkpoint) for _ in range(2)]
    for t in range(6):
        if t == 4:
            both.reset([0])
            alone[0].reset()
        together = both.step(np.concatenate([left[t], right[t]]))
        for n, frame in enumerate((left[t], right[t])):
            for name, value in vars(alone[n].step(frame)).items():
                np.testing.assert_array_equal(getattr(together, name)[n], value[0], err_msg=name)
    # One lane moves on while the other waits.
    slots = both.step(left[5], [0])
    assert slots.track_id.tolist() == [[0, -1, -1, -1]] and not slots.velocity.any()
    assert both.step(right[5], [1]).track_id.tolist() == [[0, 1, -1, -1]]


def test_tracks_have_the_type_that_most_of_their_frames_speak_for(checkpoint):
    projection = np.zeros((5, 1), np.float32)
    projection[0] = 1  # red
    types = ObjectTypes(np.array([[-1], [1]], np.float32), projection, np.array([1, 1]))
    tracker = ComponentTracker(checkpoint, types=types)
    reddish, darker = (145, 0, 0), (112, 0, 0)  # so near that they are one object's
    seen = [
        tracker.step(picture((10, 10, 14, 14, colour))).category[0].tolist()
        for colour in (reddish, reddish, darker, reddish)
    ]
    assert seen == [[1, -1, -1, -1]] * 4
    tracker.reset()
    assert tracker.step(picture((10, 10, 14, 14, BLACK))).category[0, 0] == 0
