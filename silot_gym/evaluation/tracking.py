"""Tracking metrics MOTA, HOTA and IDF1, computed by the library trackeval."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silot_gym.evaluation.tracks import Tracks, iou, paired


@dataclass(frozen=True)
class TrackingMetrics:
    """How well objects were found and kept apart, over all sequences together.

    Attributes:
        mota: 1 - (misses + false positives + identity switches) / objects; at most 1, may be
            negative.
        hota: Geometric mean of `detection_accuracy` and `association_accuracy`, averaged over the
            IoU thresholds .05, .1, ..., .95; in [0, 1].
        idf1: F1 of the best one-to-one assignment of whole predicted tracks to true ones; in
            [0, 1].
        detection_accuracy: HOTA's DetA, in [0, 1].
        association_accuracy: HOTA's AssA, in [0, 1].
        precision: Share of the predictions that match an object.
        recall: Share of the objects that a prediction matches.
        f1: Harmonic mean of precision and recall.
        misses: Objects, counted in every frame, without a prediction.
        false_positives: Predictions without an object.
        identity_switches: How often an object's prediction has another identity than the one that
            matched it last.
    """

    mota: float
    hota: float
    idf1: float
    detection_accuracy: float
    association_accuracy: float
    precision: float
    recall: float
    f1: float
    misses: int
    false_positives: int
    identity_switches: int


def tracking_metrics(
    truth: Sequence[Tracks], predicted: Sequence[Tracks], *, iou_threshold: float = 0.5
) -> TrackingMetrics:
    """Scores predicted tracks against true ones.

    Sequences are matched each by itself, and their counts are pooled ("overall" in the field's
    tables). The paper's MOTA (section 4) is this one but for a shortcut of its code, which drops
    all predictions of a frame that has more than twice as many as objects. That makes misses of
    false positives and flatters trackers that predict too much, so it is left out here.

    Args:
        truth: The true tracks of each sequence.
        predicted: What was tracked there. Confidences play no part: apply `Tracks.above` first.
        iou_threshold: Least IoU, in (0, 1], of a match; HOTA has thresholds of its own.

    Returns:
        The metrics over all sequences. Without any true object MOTA is minus the number of
        predictions.

    Raises:
        ImportError: If trackeval is not installed.
        ValueError: If the numbers of sequences or of frames disagree.
    """
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity  # slow to import: plots and images
    except ImportError as error:
        raise ImportError(
            'tracking metrics need trackeval: pip install "silot_gym[train]"'
        ) from error

    config = {"THRESHOLD": iou_threshold, "PRINT_CONFIG": False}
    sequences = {
        str(index): _sequence(true, guess)
        for index, (true, guess) in enumerate(paired(truth, predicted))
    }

    def pooled(metric: Any) -> dict[str, Any]:
        scores = {name: metric.eval_sequence(data) for name, data in sequences.items()}
        combined: dict[str, Any] = metric.combine_sequences(scores)
        return combined

    clear, hota, identity = pooled(CLEAR(config)), pooled(HOTA()), pooled(Identity(config))
    return TrackingMetrics(
        mota=float(clear["MOTA"]),
        hota=float(np.mean(hota["HOTA"])),
        idf1=float(identity["IDF1"]),
        detection_accuracy=float(np.mean(hota["DetA"])),
        association_accuracy=float(np.mean(hota["AssA"])),
        precision=float(clear["CLR_Pr"]),
        recall=float(clear["CLR_Re"]),
        f1=float(clear["CLR_F1"]),
        misses=int(clear["CLR_FN"]),
        false_positives=int(clear["CLR_FP"]),
        identity_switches=int(clear["IDSW"]),
    )


def _sequence(truth: Tracks, predicted: Tracks) -> dict[str, Any]:
    """One sequence in the form in which trackeval's metrics take it."""
    gt_ids, num_gt_ids = _contiguous_ids(truth)
    tracker_ids, num_tracker_ids = _contiguous_ids(predicted)
    similarity = [
        iou(truth.boxes[t][truth.present[t]], predicted.boxes[t][predicted.present[t]])
        for t in range(len(truth.boxes))
    ]
    return {
        "num_timesteps": len(similarity),
        "gt_ids": gt_ids,
        "num_gt_ids": num_gt_ids,
        "num_gt_dets": int(truth.present.sum()),
        "tracker_ids": tracker_ids,
        "num_tracker_ids": num_tracker_ids,
        "num_tracker_dets": int(predicted.present.sum()),
        "similarity_scores": similarity,
    }


def _contiguous_ids(tracks: Tracks) -> tuple[list[NDArray[np.intp]], int]:
    """The identities of each frame, numbered from 0 without gaps, and how many there are."""
    names, numbers = np.unique(tracks.track_id[tracks.present], return_inverse=True)
    frame_ends = np.cumsum(tracks.present.sum(axis=1))
    return np.split(numbers, frame_ends[:-1]), len(names)
