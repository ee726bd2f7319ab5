import json
from pathlib import Path

import numpy as np
import pytest

from silot_gym.evaluation.memory_truth import (
    MEMORY_METRICS,
    MemoryTruthError,
    Requirement,
    covered_share,
    load_memory_truth,
    score_memory,
)
from silot_gym.evaluation.tracks import Tracks

DATA = Path(__file__).parents[2] / "benchmarks" / "data"
NOWHERE = [np.nan] * 4


def at(column, row=0):
    """A box of 10 x 10 pixels."""
    return [column, row, column + 10.0, row + 10.0]


def tracks(*frames):
    """Tracks from one {identity: box} a frame."""
    return Tracks.from_frames([list(frame.values()) for frame in frames], [list(f) for f in frames])


def score(truth, predicted, dont_care=()):
    """Figures of one sequence, with the same don't-care boxes in every frame."""
    boxes = np.array([NOWHERE, *dont_care], np.float32)
    requirement = Requirement([truth], np.broadcast_to(boxes, (1, len(truth.boxes), *boxes.shape)))
    return score_memory(requirement, [predicted])


# One sequence of 3 frames of 40 x 80 with 5 objects: an alien that is not drawn in the second
# frame, a shield, a score, a bullet that is gone in the last frame, and one that was never there.
PLACES = [at(0), at(20), at(40), at(60), NOWHERE]


def arrays(**changes):
    boxes = np.tile(np.array(PLACES, np.float32), (1, 3, 1, 1))
    track_id = np.tile(np.array([7, 1, 2, 3, -1], np.int32), (1, 3, 1))
    boxes[0, 2, 3], track_id[0, 2, 3] = np.nan, -1
    nothing = np.zeros((1, 3, 5), bool)
    hud, static, visible = nothing.copy(), nothing.copy(), track_id >= 0
    hud[..., 2], static[..., 1], visible[0, 1, 0] = True, True, False
    return {
        "frames": np.zeros((1, 3, 40, 80), np.uint8),
        "palette": np.arange(768).reshape(256, 3).astype(np.uint8),
        "boxes": boxes,
        "track_id": track_id,
        "hud": hud,
        "visible": visible,
        "static": static,
        "ignore_boxes": np.tile(np.array([at(0, 20), NOWHERE], np.float32), (1, 3, 1, 1)),
        "meta": np.array(json.dumps({"game": "Pong"})),
    } | changes


@pytest.fixture
def save(tmp_path):
    def save(**changes):
        path = tmp_path / "Pong.npz"
        np.savez_compressed(path, **{k: v for k, v in arrays(**changes).items() if v is not None})
        return path

    return save


def test_a_file_says_what_is_required_and_what_is_not_held_against_a_tracker(save):
    truth = load_memory_truth(save())
    assert truth.game == "Pong"
    assert truth.rgb().shape == (1, 3, 40, 80, 3)
    drawn, moving = truth.all_drawn, truth.what_moves
    assert [set(ids[ids >= 0]) for ids in drawn.truth[0].track_id] == [{7, 1, 3}, {1, 3}, {7, 1}]
    assert [set(ids[ids >= 0]) for ids in moving.truth[0].track_id] == [{7, 3}, {3}, {7}]

    def places(requirement, frame):
        boxes = requirement.dont_care[0, frame]
        return sorted(map(tuple, boxes[~np.isnan(boxes[:, 0])].tolist()))

    score_box, ignored, alien, shield = tuple(at(40)), tuple(at(0, 20)), tuple(at(0)), tuple(at(20))
    assert places(drawn, 0) == sorted([score_box, ignored])
    assert places(drawn, 1) == sorted([score_box, ignored, alien])
    assert places(moving, 1) == sorted([score_box, ignored, alien, shield])


def test_truth_against_itself_is_flawless_even_where_it_shows_more_than_is_required(save):
    truth = load_memory_truth(save())
    raw = arrays()
    everything = Tracks(raw["boxes"][0], raw["track_id"][0], (raw["track_id"][0] >= 0) * 1.0)
    perfect = dict.fromkeys(MEMORY_METRICS, 1.0) | {"count_error": 0.0}
    for requirement in (truth.all_drawn, truth.what_moves):
        assert score_memory(requirement, requirement.truth) == pytest.approx(perfect)
        assert score_memory(requirement, [everything]) == pytest.approx(perfect)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.npz")), ids=lambda path: path.stem)
def test_the_recorded_truth_against_itself_is_flawless(path):
    requirement = load_memory_truth(path).what_moves
    figures = score_memory(requirement, requirement.truth)
    assert figures == pytest.approx(dict.fromkeys(MEMORY_METRICS, 1.0) | {"count_error": 0.0})


def test_a_false_prediction_counts_unless_half_of_it_lies_on_a_dont_care():
    truth = tracks({0: at(0)}, {0: at(0)})

    def misplaced(box):
        predicted = tracks({5: at(0), 6: box}, {5: at(0)})
        return score(truth, predicted, [at(50), at(55), at(70)])

    assert misplaced(at(30))["MOTA"] == pytest.approx(0.5)  # one false of two objects
    assert misplaced(at(30))["count_error"] == pytest.approx(0.5)
    assert misplaced(at(30))["precision"] == pytest.approx(2 / 3)
    assert misplaced(at(45))["MOTA"] == 1  # half of it
    assert misplaced(at(44))["MOTA"] == pytest.approx(0.5)  # less
    assert misplaced([52, 2, 54, 4])["MOTA"] == 1  # small, but wholly inside
    assert misplaced([57, 0, 80, 10])["MOTA"] == 1  # 8 of 23 columns under one, 10 under another
    assert misplaced([48, 0, 80, 10])["MOTA"] == 1  # 25 of 32 columns
    assert misplaced([0, 0, 80, 10])["MOTA"] == pytest.approx(0.5)  # 25 of 80
    assert misplaced([50, 3, 60, 3])["MOTA"] == pytest.approx(0.5)  # without area


def test_a_required_object_may_be_found_where_a_dont_care_covers_it():
    truth = tracks({0: at(0)})
    assert score(truth, tracks({5: at(2)}), [[0, 0, 80, 40]])["MOTA"] == 1
    # IoU 5/15 is no match, so this prediction is neither right nor wrong.
    assert score(truth, tracks({5: at(5)}), [[0, 0, 80, 40]])["MOTA"] == 0
    assert score(truth, tracks({5: at(5)}))["MOTA"] == -1


def test_the_second_of_two_predictions_is_false_unless_it_lies_on_a_dont_care():
    truth, doubled = tracks({0: at(0)}), tracks({5: at(2), 6: at(0)})
    assert score(truth, doubled)["MOTA"] == 0
    assert score(truth, doubled, [at(3)])["MOTA"] == 1  # the worse one goes: 9 of 10 columns
    assert score(truth, doubled, [at(3)])["HOTA"] == 1


def test_an_object_keeps_its_identity_while_it_is_not_drawn():
    truth = tracks({0: at(0)}, {}, {0: at(0)})
    there, gone = tracks({5: at(0)}, {5: at(0)}, {5: at(0)}), tracks({5: at(0)}, {}, {5: at(0)})
    returned = tracks({5: at(0)}, {}, {6: at(0)})
    assert score(truth, there, [at(0)])["IDF1"] == 1
    assert score(truth, there, [at(0)])["MOTA"] == 1
    assert score(truth, gone)["IDF1"] == 1
    assert score(truth, returned)["IDF1"] == pytest.approx(0.5)
    assert score(truth, returned)["MOTA"] == pytest.approx(0.5)  # one switch of two objects


def test_misses():
    figures = score(tracks({0: at(0), 1: at(20)}, {0: at(0), 1: at(20)}), tracks({5: at(0)}, {}))
    assert figures["recall"] == pytest.approx(0.25)
    assert figures["precision"] == 1
    assert figures["F1"] == pytest.approx(0.4)
    assert figures["count_error"] == pytest.approx(1.5)
    assert figures["MOTA"] == pytest.approx(0.25)


def test_covered_share_counts_overlaps_once():
    boxes = np.array([at(0), at(100), [0, 0, 1, 1.5]])
    others = np.array([[0, 0, 5, 10], [0, 0, 5, 5], [4, 0, 6, 10], [0.5, 1, 9, 2]])
    # Columns 0 to 6 in all rows, and columns 6 to 9 in one row.
    assert covered_share(boxes, others) == pytest.approx([0.63, 0, 1])
    assert covered_share(boxes, np.zeros((0, 4))).tolist() == [0, 0, 0]
    assert covered_share(np.zeros((0, 4)), others).shape == (0,)


def test_a_missing_file(tmp_path):
    with pytest.raises(MemoryTruthError, match=r"Pong.npz: no such file"):
        load_memory_truth(tmp_path / "Pong.npz")


def test_a_cut_file(save):
    path = save()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MemoryTruthError, match=r"Pong.npz: expected a whole file"):
        load_memory_truth(path)
    path.write_bytes(b"")
    with pytest.raises(MemoryTruthError, match=r"Pong.npz: expected a whole file"):
        load_memory_truth(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hud": None}, "hud"),
        ({"meta": np.array("{")}, "damage"),
        ({"meta": np.array("[]")}, "damage"),
        ({"static": np.zeros((1, 3, 4), bool)}, r"static is bool \(1, 3, 4\)"),
        ({"visible": np.zeros((1, 3, 5), np.int8)}, "visible is int8"),
        ({"frames": np.zeros((1, 2, 40, 80), np.uint8)}, "does not fit axes"),
        ({"palette": np.zeros((16, 3), np.uint8)}, "palette is uint8"),
        ({"boxes": np.full((1, 3, 5, 4), np.nan, np.float32)}, "got NaN"),
        ({"track_id": np.ones((1, 3, 5), np.int32)}, "damage"),
    ],
)
def test_a_file_that_holds_something_else(save, changes, message):
    with pytest.raises(MemoryTruthError, match=message):
        load_memory_truth(save(**changes))
