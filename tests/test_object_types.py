import numpy as np
import pytest

from silot_gym.object_types import ObjectTypes, TypeVotes, looks

A = 3


@pytest.fixture
def types():
    """Two types that differ in the first feature, and one that is wide."""
    centres = np.array([[-1, 0, 0, -2, -2], [1, 0, 0, -2, -2], [0, 0, 0, 0, -2]], np.float32)
    return ObjectTypes(centres, np.eye(A + 2, dtype=np.float32), np.array([2, 1, 1]))


def test_an_object_is_of_the_type_that_it_looks_like(types):
    what = np.float32([[-0.8, 0, 0], [0.7, 0.1, 0], [0.1, 0, 0]])
    size = np.float32([[0.1, 0.1], [0.1, 0.1], [1, 0.1]])
    found = types.classify(what, size)
    assert found.tolist() == [0, 1, 2] and found.dtype == np.int64
    assert types.classify(what[None, :2], size[None, :2]).tolist() == [[0, 1]]
    assert types.classify(what[:0], size[:0]).shape == (0,)


def test_what_the_projection_leaves_out_makes_no_difference(types):
    projection = types.projection.copy()
    projection[0] = 0  # only the size counts
    blind = ObjectTypes(types.centres, projection, types.max_count)
    size = np.full((2, 2), 0.1)
    assert len(set(blind.classify([[-1, 0, 0], [1, 0, 0]], size).tolist())) == 1


def test_twice_as_large_is_the_same_difference_at_all_sizes():
    small, large, larger = looks(np.zeros((3, A)), [[0.1, 0.1], [0.2, 0.2], [0.4, 0.4]])
    np.testing.assert_allclose(large - small, larger - large, rtol=1e-5)
    assert np.isfinite(looks(np.zeros(A), [0, 0])).all()


def test_names_may_be_given_to_some_types(types):
    named = types.with_names({1: "ball"})
    assert types.names == ("", "", "") and named.names == ("", "ball", "")
    assert named.with_names({0: "left", 1: "Ball"}).names == ("left", "Ball", "")
    with pytest.raises(ValueError, match=r"numbers of types, 0 to 2, got \[3, -1\]"):
        types.with_names({3: "ball", -1: "x"})
    with pytest.raises(ValueError, match=r"names that are strings, got \[7\]"):
        types.with_names({0: 7})


@pytest.mark.parametrize(
    "change",
    [
        {"max_count": np.array([1])},
        {"names": ("one",)},
        {"projection": np.eye(4, dtype=np.float32)},
        {"centres": np.zeros((0, A + 2), np.float32), "max_count": np.zeros(0, int), "names": ()},
    ],
)
def test_what_does_not_fit_together_is_refused(types, change):
    with pytest.raises(ValueError, match="expected"):
        ObjectTypes(**{**vars(types), **change})


class Lane:
    """Votes on one slot of one lane, an object that looks like a type in each frame."""

    def __init__(self, types, lanes=1):
        self.types, self.votes = types, TypeVotes(types, lanes, 2, 0.9)

    def see(self, type_number, new=False, shown=True, lane=0):
        looks_like = self.types.centres[type_number]
        what = np.broadcast_to(looks_like[:A], (1, 2, A))
        size = np.broadcast_to(np.exp(looks_like[A:]), (1, 2, 2))
        at, begins = np.array([[shown, False]]), np.array([[new, False]])
        category = self.votes.cast([lane], what, size, at, begins)
        assert category.shape == (1, 2) and category.dtype == np.int64 and category[0, 1] == -1
        return int(category[0, 0])


def test_a_track_keeps_its_type_through_a_wrong_frame(types):
    lane = Lane(types)
    assert [lane.see(1, new=True), lane.see(1), lane.see(2), lane.see(1)] == [1, 1, 1, 1]


def test_more_frames_change_the_type(types):
    lane = Lane(types)
    assert [lane.see(n, new=not t) for t, n in enumerate([0, 0, 2, 2])] == [0, 0, 0, 2]


def test_what_a_track_was_long_ago_counts_little(types):
    lane = Lane(types)
    for t in range(200):
        lane.see(0, new=not t)
    assert [lane.see(2) for _ in range(7)] == [0] * 6 + [2]


def test_a_new_track_starts_without_votes(types):
    lane = Lane(types)
    for t in range(5):
        lane.see(0, new=not t)
    assert lane.see(2, new=True) == 2


def test_votes_wait_while_nothing_is_shown_and_lanes_have_their_own(types):
    lane = Lane(types, lanes=2)
    lane.see(1, new=True)
    assert lane.see(0, shown=False) == -1
    assert lane.see(0, new=True, lane=1) == 0
    assert lane.see(1) == 1
    assert lane.see(0) == 1
