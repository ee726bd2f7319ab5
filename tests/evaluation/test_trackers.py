import numpy as np
import pytest

from silot_gym.evaluation.trackers import Components, tuned_components
from silot_gym.evaluation.tracking import tracking_metrics
from silot_gym.evaluation.tracks import Tracks

GREY = (142, 142, 142)
PAINTED_BOX, WHEELS = (10, 20, 18, 26), ((10, 18), (16, 18))


@pytest.fixture
def cars():
    """A red car with black wheels drives over grey, 2 pixels a frame, (6, 40, 60, 3) uint8."""
    frames = np.full((6, 40, 60, 3), GREY, np.uint8)
    x0, y0, x1, y1 = PAINTED_BOX
    for t, frame in enumerate(frames):
        frame[y0:y1, x0 + 2 * t : x1 + 2 * t] = (200, 30, 30)
        for x, y in WHEELS:
            frame[y : y + 2, x + 2 * t : x + 2 + 2 * t] = 0
            frame[y + 8 : y + 10, x + 2 * t : x + 2 + 2 * t] = 0
    return frames


def box(t):
    return np.array([[10 + 2 * t, 18, 18 + 2 * t, 28]], np.float64)


TRUTH = Tracks.from_frames([box(t) for t in range(6)], [np.zeros(1, int)] * 6)


def test_regions_of_one_colour_are_parts_and_regions_of_any_are_the_whole(cars):
    parts, whole = (
        Components(GREY, one_colour=one_colour).tracks([cars])[0] for one_colour in (True, False)
    )
    assert (parts.present.sum(1) == 5).all()
    assert (whole.present.sum(1) == 1).all()
    assert (whole.boxes[:, 0] == TRUTH.boxes[:, 0]).all()
    assert len(np.unique(whole.track_id[whole.present])) == 1


def test_the_baseline_gets_the_settings_that_suit_the_truth(cars):
    best = tuned_components([cars], GREY, lambda found: tracking_metrics([TRUTH], found).mota)
    assert not best.one_colour
    assert tracking_metrics([TRUTH], best.tracks([cars])).mota == 1


def test_faint_pixels_are_background(cars):
    cars[:, 0, 0] = (152, 142, 142)
    (tracks,) = Components(GREY, least_contrast=0.25).tracks([cars])
    assert (tracks.present.sum(1) == 5).all()
    (tracks,) = Components(GREY).tracks([cars])
    assert (tracks.present.sum(1) == 6).all()
