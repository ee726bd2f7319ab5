import ale_py
import gymnasium as gym
import numpy as np
import pytest

from silot_gym.evaluation.connected_components import annotate, connected_components
from silot_gym.evaluation.tracks import Tracks

RED, BLUE = (200, 0, 0), (0, 0, 200)
ALIEN = (134, 134, 29)


def draw(*things, height=12, width=40):
    """A black frame with filled rectangles (colour, top row, left column, rows, columns)."""
    frame = np.zeros((height, width, 3), np.uint8)
    for colour, top, left, rows, columns in things:
        frame[top : top + rows, left : left + columns] = colour
    return frame


def boxes_of(tracks: Tracks, t=0):
    return sorted(map(tuple, tracks.boxes[t][tracks.present[t]].tolist()))


def test_boxes_are_half_a_pixel_larger_on_each_side_and_centred():
    # Rows 2-4 and columns 10-15 span [10, 16] x [2, 5] in pixel edges; the pixel [20, 21] x [7, 8].
    frame = draw((RED, 2, 10, 3, 6), (RED, 7, 20, 1, 1))
    tracks = annotate(frame[None])
    assert boxes_of(tracks) == [(9.5, 1.5, 16.5, 5.5), (19.5, 6.5, 21.5, 8.5)]
    assert (tracks.confidence[tracks.present] == 1).all()


def test_the_baseline_has_tight_boxes():
    frame = draw((RED, 2, 10, 3, 6), (RED, 7, 20, 1, 1))
    assert boxes_of(connected_components(frame[None])) == [(10, 2, 16, 5), (20, 7, 21, 8)]


def test_at_the_lower_right_of_the_frame_there_is_no_room_to_dilate():
    frame = draw((RED, 0, 0, 1, 1), (RED, 11, 39, 1, 1))
    assert boxes_of(annotate(frame[None])) == [(-0.5, -0.5, 1.5, 1.5), (38.5, 10.5, 39.5, 11.5)]


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ((4, 10), (4, 12), True),  # a gap of one pixel between columns
        ((4, 10), (6, 10), True),  # and between rows
        ((4, 10), (4, 13), False),  # a gap of two
        ((4, 10), (7, 10), False),
        ((4, 12), (6, 10), True),  # down left: the dilated pixels meet at a corner
        ((4, 10), (6, 12), False),  # down right: the kernel leaves out that corner
        ((4, 10), (5, 12), True),
        ((4, 10), (6, 13), False),
    ],
)
def test_same_colour_merges_across_a_gap_of_one_pixel(first, second, merged):
    frame = draw((RED, *first, 1, 1), (RED, *second, 1, 1))
    assert len(boxes_of(annotate(frame[None]))) == (1 if merged else 2)
    assert len(boxes_of(connected_components(frame[None]))) == 2


def test_different_colours_stay_apart_even_when_they_touch():
    frame = draw((RED, 4, 10, 2, 2), (BLUE, 4, 12, 2, 2), ((201, 0, 0), 6, 10, 2, 2))
    tight = [(10, 4, 12, 6), (10, 6, 12, 8), (12, 4, 14, 6)]
    assert boxes_of(connected_components(frame[None])) == tight
    enlarged = [(x0 - 0.5, y0 - 0.5, x1 + 0.5, y1 + 0.5) for x0, y0, x1, y1 in tight]
    assert boxes_of(annotate(frame[None])) == enlarged


def test_corners_connect_unless_the_baseline_is_told_otherwise():
    frame = draw((RED, 4, 10, 1, 1), (RED, 5, 11, 1, 1))
    assert boxes_of(connected_components(frame[None])) == [(10, 4, 12, 6)]
    apart = boxes_of(connected_components(frame[None], connectivity=4))
    assert apart == [(10, 4, 11, 5), (11, 5, 12, 6)]


def test_any_colour_can_be_the_background():
    frame = draw((RED, 0, 0, 12, 40), ((0, 0, 0), 3, 5, 2, 2))
    assert boxes_of(connected_components(frame[None], background=RED)) == [(5, 3, 7, 5)]
    assert boxes_of(annotate(frame[None], background=RED)) == [(4.5, 2.5, 7.5, 5.5)]


@pytest.mark.parametrize("seed", range(3))
def test_boxes_equal_those_of_the_authors_chain_of_opencv_calls(seed):
    cv2 = pytest.importorskip("cv2")
    palette = np.array([(0, 0, 0), RED, BLUE, (0, 0, 201)], np.uint8)
    rng = np.random.default_rng(seed)
    frame = palette[rng.choice(4, (30, 25), p=[0.85, 0.05, 0.05, 0.05])]
    expected = []
    for colour in palette[1:]:
        mask = (frame == colour).all(-1).astype(np.uint8)
        mask = cv2.dilate(mask, np.array([[0, 1], [1, 1]], np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for left, top, width, height, _ in stats[1:].tolist():
            # Their limits are (first - 1, last) in a convention with pixel r at [r - .5, r + .5].
            limits = left - 1, top - 1, left + width - 1, top + height - 1
            expected.append(tuple(limit + 0.5 for limit in limits))
    assert boxes_of(annotate(frame[None])) == sorted(expected)


def identities(tracks: Tracks):
    """For each frame the identities in the order of the boxes' left edges."""
    return [
        [int(tracks.track_id[t, m]) for m in np.argsort(tracks.boxes[t, :, 0]) if present[m]]
        for t, present in enumerate(tracks.present)
    ]


def row(*columns, colour=RED):
    return draw(*((colour, 5, column, 2, 2) for column in columns))


@pytest.mark.parametrize("method", [annotate, connected_components])
def test_the_sum_of_distances_decides_who_is_who(method):
    # The second of frame 0 is nearest to the first of frame 1, but two steps of 8 pixels are less
    # than steps of 2 and 18.
    assert identities(method(np.stack([row(0, 10), row(8, 18)]))) == [[0, 1], [0, 1]]


@pytest.mark.parametrize("method", [annotate, connected_components])
def test_newcomers_and_those_who_return_get_new_identities(method):
    frames = np.stack([row(10, 20), row(10), row(10, 20), row(2, 10, 20), row()])
    assert identities(method(frames)) == [[0, 1], [0], [0, 2], [3, 0, 2], []]


@pytest.mark.parametrize("method", [annotate, connected_components])
def test_an_object_never_changes_colour(method):
    frames = np.stack([row(10), row(10, colour=BLUE), row(10, colour=BLUE)])
    assert identities(method(frames)) == [[0], [1], [1]]


def test_only_the_baseline_limits_the_step():
    far, farther = np.stack([row(0), row(30)]), np.stack([row(0), row(31)])
    assert identities(connected_components(far)) == [[0], [0]]
    assert identities(connected_components(farther)) == [[0], [1]]
    assert identities(connected_components(farther, max_step=31)) == [[0], [0]]
    assert identities(annotate(farther)) == [[0], [0]]


def test_frames_without_objects_come_and_go():
    assert identities(annotate(np.stack([row(), row(3), row(), row(3)]))) == [[], [0], [], [1]]


@pytest.mark.parametrize(
    "frames",
    [np.zeros((12, 40, 3), np.uint8), np.zeros((1, 12, 40, 3)), np.zeros((0, 12, 40, 3), np.uint8)],
)
def test_other_arrays_than_rgb_frames_are_refused(frames):
    with pytest.raises(ValueError, match="expected uint8 RGB frames"):
        annotate(frames)


def test_space_invaders_shows_36_aliens_that_keep_their_identities():
    gym.register_envs(ale_py)
    env = gym.make("ALE/SpaceInvaders-v5")
    env.reset(seed=0)
    frames = np.stack([env.step(0)[0] for _ in range(40)])[-16:]
    is_alien = (frames == ALIEN).all(-1, keepdims=True)
    aliens = annotate(np.where(is_alien, frames, np.uint8(0)))
    assert aliens.present.sum(axis=1).tolist() == [36] * 16
    assert set(aliens.track_id.ravel()) == set(range(36))
    # They march in step: in every frame, the same 6 x 6 grid with 16 columns and 18 rows between.
    corners = aliens.boxes[0, :, :2].astype(int)
    assert np.unique(np.diff(np.unique(corners[:, 0]))).tolist() == [16]
    assert np.unique(np.diff(np.unique(corners[:, 1]))).tolist() == [18]
    everything = annotate(frames)
    assert set(boxes_of(aliens)) < set(boxes_of(everything))
