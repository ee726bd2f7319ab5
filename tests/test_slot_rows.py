"""Objects keep their rows, and rows say what their objects did."""

import numpy as np
import pytest

from silot_gym.slot_rows import SlotRows

LAYOUT = {"what": slice(0, 2), "where": slice(2, 6), "presence": slice(6, 7)}
LAYOUT |= {"velocity": slice(7, 9)}
SLOTS, WIDTH = 6, 9
STEP = 7
"""Values of an object in one step."""


def scene(*objects, slots=SLOTS):
    """A lane's slots and info, from the (slot, track id, type) of each object.

    The object of track i is at x = i / 100, which tells what is seen in a row.
    """
    table = np.zeros((1, slots, WIDTH), np.float32)
    info = {name: np.full(slots, -1) for name in ("track_id", "category")}
    for slot, track, kind in objects:
        info["track_id"][slot], info["category"][slot] = track, kind
        table[0, slot] = [9, 9, track / 100, 0.5, 0.1, 0.2, 0.9, 0, 0]
    return table, [info]


LANE = np.array([0])


def look(view, *objects):
    """The rows (R, history, 7) of the only lane after its next step."""
    return view.observe(*scene(*objects), LANE).reshape(view.slot.shape[1], -1, STEP)


def tracks(rows):
    """The track whose object is in each row (R,) in this step; -1 for none."""
    x = (rows[:, 0, 1] + 1) / 2
    return np.where(rows[:, 0, 0] > 0, np.round(100 * x), -1).astype(int).tolist()


def test_a_row_holds_presence_centre_size_and_velocity():
    view = SlotRows(1, SLOTS, LAYOUT, [1], history=1)
    table, info = scene((3, 0, 0))
    table[0, 3] = [9, 9, 0.75, 0.25, 0.1, 0.2, 0.9, 0.02, -0.05]
    np.testing.assert_allclose(
        view.observe(table, info, LANE), [[0.9, 0.5, -0.5, 0.1, 0.2, 0.2, -0.5]], rtol=1e-6
    )


def test_velocity_is_clipped_at_a_tenth_of_the_frame():
    view = SlotRows(1, SLOTS, LAYOUT, [1], history=1)
    table, info = scene((0, 0, 0))
    table[0, 0, LAYOUT["velocity"]] = [0.1001, -0.7]
    assert view.observe(table, info, LANE)[0, -2:].tolist() == [1, -1]


def test_an_object_keeps_its_row_while_others_come_and_go():
    view = SlotRows(1, SLOTS, LAYOUT, [3])
    assert tracks(look(view, (0, 1, 0), (1, 2, 0), (2, 3, 0))) == [1, 2, 3]
    assert tracks(look(view, (1, 2, 0), (2, 3, 0))) == [-1, 2, 3]
    assert tracks(look(view, (2, 3, 0))) == [-1, -1, 3]
    # The new ones take the first rows that are free.
    assert tracks(look(view, (0, 5, 0), (1, 4, 0), (2, 3, 0))) == [4, 5, 3]
    assert view.slot.tolist() == [[1, 0, 2]]


def test_each_type_has_rows_of_its_own():
    view = SlotRows(1, SLOTS, LAYOUT, [1, 0, 2])
    rows = look(view, (0, 1, 2), (1, 2, 0), (2, 3, 1), (3, 4, 0))
    assert tracks(rows) == [2, 1, -1]  # none for type 1, and one for type 0


def test_the_youngest_are_left_out_until_a_row_is_free():
    view = SlotRows(1, SLOTS, LAYOUT, [2])
    assert tracks(look(view, (0, 30, 0), (1, 10, 0), (2, 20, 0), (3, 40, 0))) == [10, 20]
    assert tracks(look(view, (0, 30, 0), (1, 10, 0), (2, 20, 0), (3, 40, 0))) == [10, 20]
    assert tracks(look(view, (0, 30, 0), (2, 20, 0), (3, 40, 0))) == [30, 20]


def test_history_is_that_of_the_object_also_from_before_it_had_a_row():
    view = SlotRows(1, SLOTS, LAYOUT, [1], history=3)
    look(view, (0, 1, 0))
    look(view, (0, 1, 0), (1, 2, 0))
    rows = look(view, (1, 2, 0))
    assert tracks(rows) == [2]
    assert rows[0, :, 0].tolist() == pytest.approx([0.9, 0.9, 0])  # it was found a step ago
    assert rows[0, :2, 1].tolist() == pytest.approx([-0.96, -0.96])


def test_a_slot_with_another_object_has_no_history():
    view = SlotRows(1, SLOTS, LAYOUT, [1])
    look(view, (0, 1, 0))
    rows = look(view, (0, 2, 0))
    assert tracks(rows) == [2]
    assert not rows[0, 1].any()


def test_an_empty_row_shows_nothing_of_what_was_in_it():
    view = SlotRows(1, SLOTS, LAYOUT, [2])
    look(view, (0, 1, 0), (1, 2, 0))
    rows = look(view, (1, 2, 0))
    assert not rows[0].any()
    assert rows[1].any(-1).all()


def test_an_object_of_which_another_type_is_thought_changes_its_row():
    view = SlotRows(1, SLOTS, LAYOUT, [2, 1])
    assert tracks(look(view, (0, 1, 0), (1, 2, 0))) == [1, 2, -1]
    rows = look(view, (0, 1, 1), (1, 2, 0))
    assert tracks(rows) == [-1, 2, 1]
    assert rows[2, 1, 0] > 0  # with its history
    assert tracks(look(view, (0, 1, 0), (1, 2, 0))) == [1, 2, -1]


def test_without_types_all_objects_share_the_rows():
    view = SlotRows(1, SLOTS, LAYOUT, [2])
    assert tracks(look(view, (4, 8, -1), (0, 7, -1))) == [7, 8]


def test_forgotten_tracks_leave_no_trace():
    view = SlotRows(1, SLOTS, LAYOUT, [2])
    look(view, (0, 0, 0), (1, 1, 0))
    view.forget(LANE)
    rows = look(view, (0, 1, 0), (1, 0, 0))  # the same numbers, but of a new episode
    assert tracks(rows) == [0, 1]
    assert not rows[:, 1].any()


def random_scenes(rng, lanes, steps):
    """Slots (lanes, K, D) and infos in which tracks begin, end and change their types."""
    ids, types = np.full((lanes, SLOTS), -1), np.full((lanes, SLOTS), -1)
    after = np.zeros(lanes, int)
    for _ in range(steps):
        for lane in range(lanes):
            for slot in np.flatnonzero(rng.random(SLOTS) < 0.3):
                ids[lane, slot] = after[lane] if rng.random() < 0.6 else -1
                after[lane] += 1
        types = np.where(rng.random(ids.shape) < 0.2, rng.integers(0, 3, ids.shape), types)
        types = np.maximum(types, 0)
        table = rng.uniform(0, 1, (lanes, SLOTS, WIDTH)).astype(np.float32)
        table[..., LAYOUT["velocity"]] = rng.uniform(-1, 1, (lanes, SLOTS, 2))
        table[ids < 0] = 0
        kinds = np.where(ids < 0, -1, types)
        yield (
            table,
            [{"track_id": ids[n].copy(), "category": kinds[n].copy()} for n in range(lanes)],
        )


def test_vectors_are_in_their_space_and_lanes_do_not_mix():
    lanes = 3
    both = SlotRows(lanes, SLOTS, LAYOUT, [2, 1, 1], history=3)
    single = [SlotRows(1, SLOTS, LAYOUT, [2, 1, 1], history=3) for _ in range(lanes)]
    for t, (table, infos) in enumerate(random_scenes(np.random.default_rng(0), lanes, 60)):
        if t % 7 == 6:
            both.forget(np.array([1]))
            single[1].forget(LANE)
        vectors = both.observe(table, infos, np.arange(lanes))
        for n in range(lanes):
            assert vectors[n] in both.space
            alone = single[n].observe(table[n : n + 1], infos[n : n + 1], LANE)
            np.testing.assert_array_equal(vectors[n], alone[0])
        # Each row's slot holds an object of the row's type, and no object has two rows.
        for lane, info in zip(both.slot, infos, strict=True):
            held = lane[lane >= 0]
            assert len(set(held)) == len(held)
            assert (info["track_id"][held] >= 0).all()
            assert (info["category"][held] == np.array([0, 0, 1, 2])[lane >= 0]).all()


def test_some_lanes_move_on_while_others_wait():
    view = SlotRows(3, SLOTS, LAYOUT, [1])
    table, info = scene((0, 5, 0))
    chosen = np.array([2, 0])
    view.observe(np.concatenate([table, 0 * table]), [info[0], scene()[1][0]], chosen)
    assert view.slot.tolist() == [[-1], [-1], [0]]


def test_without_empties_a_row_and_leaves_the_others():
    view = SlotRows(1, SLOTS, LAYOUT, [3])
    vectors = view.observe(*scene((0, 1, 0), (1, 2, 0), (2, 3, 0)), LANE)
    before = vectors.copy()
    rows = view.without(vectors, 1).reshape(3, -1)
    assert not rows[1].any()
    np.testing.assert_array_equal(rows[[0, 2]], before.reshape(3, -1)[[0, 2]])
    np.testing.assert_array_equal(vectors, before)


@pytest.mark.parametrize(
    ("rows", "history", "layout"),
    [
        ([], 2, LAYOUT),
        ([0, 0], 2, LAYOUT),
        ([2, -1], 2, LAYOUT),
        ([[1]], 2, LAYOUT),
        ([1], 0, LAYOUT),
        ([1], 2, {"presence": slice(0, 1), "where": slice(1, 5)}),
    ],
)
def test_what_makes_no_vector_is_refused(rows, history, layout):
    with pytest.raises(ValueError, match=r"expected (rows and history|slots with) .*got"):
        SlotRows(1, SLOTS, layout, rows, history)
