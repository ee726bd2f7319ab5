import numpy as np
import pytest

from silot_gym.evaluation.detection import average_precision, count_error
from silot_gym.evaluation.tracks import Tracks


def sequence(*frames):
    """Tracks from one list of (box, confidence) a frame."""
    return Tracks.from_frames(
        [[box for box, _ in frame] for frame in frames],
        [range(len(frame)) for frame in frames],
        [[confidence for _, confidence in frame] for frame in frames],
    )


def sure(*boxes):
    return [(box, 1.0) for box in boxes]


def plain_overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def plain_average_precision(truth, predicted):
    """The definition, read out loud: one loop for each "for each"."""
    scores = []
    for tenths_of_overlap in range(1, 10):
        outcomes, num_objects = [], 0
        for true, guess in zip(truth, predicted, strict=True):
            for t in range(len(true.boxes)):
                objects = list(true.boxes[t][true.present[t]])
                num_objects += len(objects)
                taken = set()
                guesses = [
                    (float(confidence), box)
                    for confidence, box in zip(guess.confidence[t], guess.boxes[t], strict=True)
                    if confidence > 0
                ]
                for confidence, box in sorted(guesses, key=lambda guess: -guess[0]):
                    overlaps = [plain_overlap(box.tolist(), other.tolist()) for other in objects]
                    best = int(np.argmax(overlaps)) if overlaps else None
                    correct = (
                        best is not None
                        and overlaps[best] > tenths_of_overlap / 10
                        and best not in taken
                    )
                    if correct:
                        taken.add(best)
                    outcomes.append((confidence, correct))
        outcomes.sort(key=lambda outcome: -outcome[0])
        for tenths_of_recall in range(11):
            best_precision = 0.0
            for n in range(1, len(outcomes) + 1):
                hits = sum(correct for _, correct in outcomes[:n])
                if hits >= tenths_of_recall * num_objects / 10 - 1e-9:
                    best_precision = max(best_precision, hits / n)
            scores.append(best_precision)
    return sum(scores) / len(scores)


def random_case(seed):
    """Two short sequences, with predictions that are shifted, doubled, missing and made up."""
    rng = np.random.default_rng(seed)
    truth, predicted = [], []
    for num_frames in (3, 4):
        true_frames, guessed_frames = [], []
        for _ in range(num_frames):
            corners = rng.integers(0, 30, (rng.integers(0, 6), 2))
            boxes = np.hstack([corners, corners + rng.integers(4, 12, corners.shape)]).astype(float)
            near = boxes[rng.random(len(boxes)) < 0.8]
            near = np.vstack([near, near[: len(near) // 2]]) + rng.normal(0, 1.5, (1, 4))
            made_up = np.array([[5.0, 5, 9, 9]])[: rng.integers(0, 2)]
            guesses = np.vstack([near, made_up])
            confidences = rng.integers(0, 8, len(guesses)) / 7  # zeros and ties among them
            true_frames.append(sure(*boxes))
            guessed_frames.append(list(zip(guesses, confidences, strict=True)))
        truth.append(sequence(*true_frames))
        predicted.append(sequence(*guessed_frames))
    return truth, predicted


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_equals_its_plain_definition(seed):
    truth, predicted = random_case(seed)
    expected = plain_average_precision(truth, predicted)
    assert average_precision(truth, predicted) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected < 1


SQUARE = [0.0, 0.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("guess", "expected"),
    [
        (SQUARE, 9 / 9),
        ([0, 0, 10, 5], 4 / 9),  # an IoU of exactly .5 is above .1 to .4
        ([0, 0, 10, 3], 2 / 9),  # .3, which is less than three times a float .1
        ([20, 0, 30, 10], 0.0),
    ],
)
def test_thresholds_run_from_1_to_9_tenths_and_are_strict(guess, expected):
    score = average_precision([sequence(sure(SQUARE))], [sequence(sure(guess))])
    assert score == pytest.approx(expected)


def test_a_tight_box_on_a_thin_bullet_suffers_from_the_papers_margin():
    annotated, tight = [10, 20, 12, 28], [10.5, 20.5, 11.5, 27.5]  # IoU 7 / 16
    assert average_precision([sequence(sure(annotated))], [sequence(sure(tight))]) == 4 / 9


def test_precision_is_read_at_eleven_recalls():
    truth = [sequence(*[sure(SQUARE)] * 10)]
    three = [sequence(*[sure(SQUARE)] * 3, *[[]] * 7)]
    assert average_precision(truth, three) == pytest.approx(4 / 11)  # 0, .1, .2 and .3


def test_false_predictions_count_by_their_rank():
    truth = [sequence(sure(SQUARE))]
    far = [20.0, 0.0, 30.0, 10.0]
    right_first = [sequence([(SQUARE, 0.9), (far, 0.8)])]
    wrong_first = [sequence([(SQUARE, 0.8), (far, 0.9)])]
    assert average_precision(truth, right_first) == 1
    assert average_precision(truth, wrong_first) == 1 / 2


def test_a_prediction_gets_no_second_choice():
    truth = [sequence(sure(SQUARE, [10, 0, 20, 10]))]
    # The second overlaps the first object by 6/14 and the other, still free, by 4/16.
    predicted = [sequence([(SQUARE, 0.9), ([4, 0, 14, 10], 0.8)])]
    assert average_precision(truth, predicted) == pytest.approx(6 / 11)


def test_a_frame_does_not_lend_its_objects_to_another():
    truth = [sequence(sure(SQUARE), [])]
    predicted = [sequence([], sure(SQUARE))]
    assert average_precision(truth, predicted) == 0


def test_confidence_0_is_no_prediction_and_no_truth_has_no_precision():
    truth = [sequence(sure(SQUARE))]
    assert average_precision(truth, [sequence([(SQUARE, 0.0)])]) == 0
    assert np.isnan(average_precision([sequence([])], [sequence(sure(SQUARE))]))


def test_count_error_is_the_mean_over_all_frames():
    truth = [sequence(sure(SQUARE, SQUARE), []), sequence(sure(SQUARE))]
    predicted = [
        sequence([(SQUARE, 0.5)], [(SQUARE, 0.51), (SQUARE, 0.9), (SQUARE, 0.1)]),  # 0 and 2
        sequence([(SQUARE, 0.6)]),
    ]
    assert count_error(truth, predicted) == pytest.approx((2 + 2 + 0) / 3)
