import numpy as np
import pytest

from silot_gym.evaluation.tracks import Tracks, iou, paired

BOX = [2.0, 3.0, 6.0, 8.0]
OTHER_BOX = [0.0, 0.0, 1.0, 1.0]


def test_frames_of_different_sizes_are_padded_with_absent_entries():
    tracks = Tracks.from_frames([[BOX, OTHER_BOX], [], [BOX]], [[4, 9], [], [9]])
    assert tracks.boxes.shape == (3, 2, 4)
    np.testing.assert_array_equal(tracks.track_id, [[4, 9], [-1, -1], [9, -1]])
    np.testing.assert_array_equal(tracks.present, [[True, True], [False, False], [True, False]])
    np.testing.assert_array_equal(tracks.confidence, [[1, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(tracks.boxes[2, 0], BOX)
    assert np.isnan(tracks.boxes[~tracks.present]).all()


def test_arrays_get_their_documented_dtypes():
    tracks = Tracks(np.zeros((1, 1, 4)), np.zeros((1, 1), np.int32), np.ones((1, 1)))
    assert (tracks.boxes.dtype, tracks.track_id.dtype, tracks.confidence.dtype) == (
        np.float32,
        np.int64,
        np.float32,
    )


def test_a_sequence_may_be_empty_of_objects():
    assert Tracks.from_frames([[], []], [[], []]).boxes.shape == (2, 0, 4)


@pytest.mark.parametrize(
    ("boxes", "track_id", "confidence"),
    [
        ((2, 3, 5), (2, 3), (2, 3)),
        ((2, 3, 4), (2, 2), (2, 3)),
        ((2, 3, 4), (2, 3), (3, 2)),
        ((2, 4), (2,), (2,)),
    ],
)
def test_shapes_that_disagree_are_refused(boxes, track_id, confidence):
    with pytest.raises(ValueError, match=r"expected boxes \(T, M, 4\)"):
        Tracks(np.zeros(boxes), np.full(track_id, -1), np.zeros(confidence))


def test_a_present_object_needs_a_box():
    with pytest.raises(ValueError, match="got NaN"):
        Tracks(np.full((1, 1, 4), np.nan), np.zeros((1, 1)), np.ones((1, 1)))


def test_an_identity_occurs_once_a_frame():
    Tracks.from_frames([[BOX], [BOX]], [[5], [5]])
    with pytest.raises(ValueError, match="repeats in frame 1"):
        Tracks.from_frames([[BOX], [BOX, OTHER_BOX]], [[5], [5, 5]])


def test_above_empties_what_is_not_more_confident():
    tracks = Tracks.from_frames([[BOX, OTHER_BOX, BOX]], [[0, 1, 2]], [[0.2, 0.5, 0.9]])
    kept = tracks.above(0.5)
    np.testing.assert_array_equal(kept.track_id, [[-1, -1, 2]])
    np.testing.assert_array_equal(kept.confidence, np.float32([[0, 0, 0.9]]))
    assert np.isnan(kept.boxes[0, :2]).all()
    np.testing.assert_array_equal(tracks.track_id, [[0, 1, 2]])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 4, 2], [0, 0, 4, 2], 1.0),
        ([0, 0, 4, 2], [2, 0, 6, 2], 4 / 12),  # half of each
        ([0, 0, 4, 4], [1, 1, 3, 2], 2 / 16),  # one inside the other
        ([0, 0, 2, 2], [2, 0, 4, 2], 0.0),  # touching
        ([0, 0, 2, 2], [3, 3, 4, 4], 0.0),  # apart along both axes: no product of two negatives
        ([1, 1, 1, 1], [1, 1, 1, 1], 0.0),  # without area
    ],
)
def test_iou_of_two_boxes(a, b, expected):
    assert iou([a], [b]) == expected
    assert iou([b], [a]) == expected


def test_iou_compares_every_box_with_every_box():
    a = [[0, 0, 2, 2], [0, 0, 2, 4], [5, 5, 6, 6]]
    b = [[0, 0, 2, 4], [0, 0, 2, 2]]
    np.testing.assert_array_equal(iou(a, b), [[0.5, 1], [1, 0.5], [0, 0]])
    assert iou(a, []).shape == (3, 0)


def test_only_equal_numbers_of_sequences_and_frames_are_paired():
    one, two = Tracks.from_frames([[]], [[]]), Tracks.from_frames([[], []], [[], []])
    assert paired([one, two], [one, two]) == [(one, one), (two, two)]
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired([one, one], [one])
    with pytest.raises(ValueError, match="got 0 and 0"):
        paired([], [])
    with pytest.raises(ValueError, match="got 1 and 2 frames in sequence 1"):
        paired([one, one], [one, two])
