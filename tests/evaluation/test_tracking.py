import sys
from pathlib import Path

import numpy as np
import pytest

from silot_gym.evaluation.tracking import tracking_metrics
from silot_gym.evaluation.tracks import Tracks

DATA = Path(__file__).parent / "data"


def at(*places):
    """Boxes of 10 x 10 pixels at these columns."""
    return [[x, 0.0, x + 10.0, 10.0] for x in places]


def tracks(*frames):
    """Tracks from one {identity: column} a frame."""
    return Tracks.from_frames(
        [at(*frame.values()) for frame in frames], [list(frame) for frame in frames]
    )


def read_mot(path: Path, num_frames: int) -> Tracks:
    """Reads lines of frame (from 1), identity, left, top, width, height."""
    lines = np.loadtxt(path, delimiter=",")
    frames = [lines[lines[:, 0] == t + 1] for t in range(num_frames)]
    return Tracks.from_frames(
        [np.hstack([frame[:, 2:4], frame[:, 2:4] + frame[:, 4:6]]) for frame in frames],
        [frame[:, 1] for frame in frames],
    )


def test_tud_campus_gives_the_published_figures():
    # MOTA, IDF1 and the counts are in py-motmetrics' README, equal to those of MOTChallenge's own
    # kit; HOTA is what trackeval's own reader and evaluator of MOT15 make of the two files.
    truth = read_mot(DATA / "tud_campus_truth.txt", 71)
    predicted = read_mot(DATA / "tud_campus_tracked.txt", 71)
    metrics = tracking_metrics([truth], [predicted])
    assert metrics.mota == pytest.approx(0.526, abs=0.0005)
    assert metrics.idf1 == pytest.approx(0.558, abs=0.0005)
    assert metrics.recall == pytest.approx(0.582, abs=0.0005)
    assert metrics.precision == pytest.approx(0.941, abs=0.0005)
    assert (metrics.false_positives, metrics.misses, metrics.identity_switches) == (13, 150, 7)
    assert metrics.hota == pytest.approx(0.3914, abs=0.00005)


def test_the_worked_example_of_py_motmetrics_for_mota():
    truth = tracks({}, {1: 0, 2: 50}, {1: 0, 2: 50}, {1: 0, 2: 50}, {1: 0, 2: 2}, {})
    predicted = tracks(
        {1: 0, 2: 50},  # nothing to match: two false positives
        {},  # two misses
        {2: 0, 1: 50},
        {1: 0, 2: 50},  # two switches
        {1: 2, 2: 0},  # the other pairing fits better, but history goes first
        {},
    )
    metrics = tracking_metrics([truth], [predicted])
    assert (metrics.false_positives, metrics.misses, metrics.identity_switches) == (2, 2, 2)
    assert metrics.mota == 1 - (2 + 2 + 2) / 8
    assert (metrics.precision, metrics.recall, metrics.f1) == (6 / 8, 6 / 8, 6 / 8)


def test_the_worked_example_of_py_motmetrics_for_switches():
    truth = tracks({}, *[{1: 0, 2: 50}] * 4, {1: 0, 3: 50}, {})
    predicted = tracks(
        {},
        {2: 0, 1: 50},
        {1: 0, 2: 50},  # both switch
        {1: 0, 2: 50},
        {3: 0, 2: 50},  # one switches to a new track
        {3: 0, 2: 50},  # a track goes over to a new object: not a switch
        {},
    )
    metrics = tracking_metrics([truth], [predicted])
    assert metrics.identity_switches == 3
    assert metrics.mota == 1 - 3 / 10


def test_a_track_that_breaks_in_the_middle():
    truth = tracks(*[{0: 0}] * 4)
    metrics = tracking_metrics([truth], [tracks({7: 0}, {7: 0}, {9: 0}, {9: 0})])
    assert metrics.mota == 1 - 1 / 4
    assert metrics.idf1 == 2 / 4  # one half of the object's frames can be given to a track
    assert metrics.detection_accuracy == 1
    # Each match shares 2 of 4 frames with its object.
    assert metrics.association_accuracy == pytest.approx(2 / 4)
    assert metrics.hota == pytest.approx(np.sqrt(2 / 4))


def test_sequences_are_matched_apart_and_counted_together():
    long, short = tracks(*[{0: 0}] * 6), tracks(*[{0: 0, 1: 50}] * 1)
    metrics = tracking_metrics([long, short], [tracks(*[{0: 0}] * 6), tracks({1: 0})])
    # The object 0 of the second sequence is another one: its new identity is no switch.
    assert metrics.identity_switches == 0
    assert metrics.mota == 1 - 1 / 8  # the mean over sequences would be (1 + 1/2) / 2
    assert metrics.idf1 == pytest.approx(7 / (7 + 0.5))


def test_the_iou_threshold_is_inclusive():
    truth = Tracks.from_frames([[[0, 0, 10, 10]]], [[0]])
    half = Tracks.from_frames([[[0, 0, 10, 5]]], [[0]])
    assert tracking_metrics([truth], [half]).mota == 1
    assert tracking_metrics([truth], [half], iou_threshold=0.51).mota == 1 - (1 + 1) / 1


def test_many_false_positives_are_not_forgiven():
    # The paper's code drops the predictions of such a frame and would count one miss: MOTA 0.
    crowd = tracks({n: 50.0 * n for n in range(4)})
    assert tracking_metrics([tracks({0: 0})], [crowd]).mota == 1 - 3 / 1


def test_confidence_plays_no_part():
    truth = tracks({0: 0})
    unsure = Tracks.from_frames([at(0)], [[0]], [[0.01]])
    assert tracking_metrics([truth], [unsure]).mota == 1


def test_sequences_without_predictions_or_truth_count():
    some, none = tracks({0: 0}, {0: 0}), tracks({}, {})
    assert tracking_metrics([some], [none]).mota == 0
    assert tracking_metrics([some], [none]).hota == 0
    metrics = tracking_metrics([some, none, none], [some, some, none])
    assert metrics.false_positives == 2
    assert metrics.mota == 1 - 2 / 2


def test_nothing_is_printed(capsys):
    tracking_metrics([tracks({0: 0})], [tracks({0: 0})])
    assert capsys.readouterr().out == ""


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackeval.metrics", None)
    with pytest.raises(ImportError, match=r'pip install "silot_gym\[train\]"'):
        tracking_metrics([tracks({0: 0})], [tracks({0: 0})])
