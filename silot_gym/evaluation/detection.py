"""Detection metrics of the paper: average precision and the error of the count."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from silot_gym.evaluation.tracks import Tracks, iou, paired


def average_precision(truth: Sequence[Tracks], predicted: Sequence[Tracks]) -> float:
    """Average precision over the IoU thresholds .1, .2, ..., .9 (section 4).

    All frames of all sequences form one ranking by confidence, with predictions of confidence 0
    left out. A prediction is correct if the object of its frame that it overlaps most has an IoU
    above the threshold with it and was not claimed by a prediction ranked before it; it gets no
    second choice. The precision at a recall is the best one at this recall or a higher one,
    averaged over the recalls 0, .1, ..., 1 (the 11 points of Pascal VOC 2007). Predictions of equal
    confidence rank in the order of their sequences, frames and places. The authors' code averages
    over batches of 8 clips; pooling all frames needs no choice of batches.

    Args:
        truth: The true tracks of each sequence.
        predicted: The predictions for them; identities play no part.

    Returns:
        A value in [0, 1]; NaN if there is no true object.

    Raises:
        ValueError: If the numbers of sequences or of frames disagree.
    """
    pairs = [(true, guess.above(0.0)) for true, guess in paired(truth, predicted)]
    num_objects = sum(int(true.present.sum()) for true, _ in pairs)
    if num_objects == 0:
        return float("nan")
    overlap, claimed = _best_overlaps(pairs)
    confidence = np.concatenate([guess.confidence[guess.present] for _, guess in pairs])
    ranking = np.argsort(-confidence, kind="stable")
    thresholds = np.arange(1, 10) / 10
    scores = [
        _interpolated_precision(
            _correct(overlap[ranking], claimed[ranking], threshold), num_objects
        )
        for threshold in thresholds
    ]
    return float(np.mean(scores))


def count_error(truth: Sequence[Tracks], predicted: Sequence[Tracks]) -> float:
    """Mean over all frames of | predictions with confidence above .5 - objects | (section 4).

    Raises:
        ValueError: If the numbers of sequences or of frames disagree.
    """
    errors = [
        np.abs(guess.above(0.5).present.sum(axis=1) - true.present.sum(axis=1))
        for true, guess in paired(truth, predicted)
    ]
    return float(np.mean(np.concatenate(errors)))


def _best_overlaps(
    pairs: Sequence[tuple[Tracks, Tracks]],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The largest IoU of each prediction, and which object, numbered over all frames, has it."""
    overlap, claimed, num_seen = [], [], 0
    for true, guess in pairs:
        for t in range(len(true.boxes)):
            ious = iou(guess.boxes[t][guess.present[t]], true.boxes[t][true.present[t]])
            num_predicted, num_true = ious.shape
            if num_true == 0:  # nothing to claim: an overlap of 0 passes no threshold
                ious = np.zeros((num_predicted, 1))
            overlap.append(ious.max(axis=1))
            claimed.append(num_seen + ious.argmax(axis=1))
            num_seen += num_true
    return np.concatenate(overlap), np.concatenate(claimed)


def _correct(
    overlap: NDArray[np.float64], claimed: NDArray[np.intp], threshold: float
) -> NDArray[np.bool_]:
    """Which predictions, best first, are the first to claim their object."""
    near = np.flatnonzero(overlap > threshold)
    _, first = np.unique(claimed[near], return_index=True)
    correct = np.zeros(len(overlap), bool)
    correct[near[first]] = True
    return correct


def _interpolated_precision(correct: NDArray[np.bool_], num_objects: int) -> float:
    """Mean precision at the recalls 0, .1, ..., 1 of predictions ordered best first."""
    hits = np.cumsum(correct)
    precision = hits / np.arange(1, len(correct) + 1)
    # Whole numbers: 3 of 10 objects must count as a recall of .3, which floats do not grant.
    reached = [precision[10 * hits >= tenths * num_objects] for tenths in range(11)]
    return float(np.mean([values.max(initial=0.0) for values in reached]))
