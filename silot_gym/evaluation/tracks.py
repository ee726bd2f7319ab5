"""What a tracker says about one sequence, and what the truth says: boxes that carry identities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Tracks:
    """The objects of one sequence, frame by frame.

    T frames hold up to M objects each. The place of an object along M has no meaning: `track_id`
    alone says which objects of two frames are the same. The arrays are converted to the dtypes
    below.

    Attributes:
        boxes: (T, M, 4) float32, (x0, y0, x1, y1) in pixels, edges convention (x1 = x0 + width, so
            that pixel column c spans [c, c + 1]); NaN where absent.
        track_id: (T, M) int64, an identity >= 0 inside this sequence, -1 where absent.
        confidence: (T, M) float32 in [0, 1]: 1 for truth, 0 where absent.

    Raises:
        ValueError: If the shapes disagree, a present object has no box, or an identity occurs twice
            in a frame.
    """

    boxes: NDArray[np.float32]
    track_id: NDArray[np.int64]
    confidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Converts the arrays and checks that they fit together."""
        dtypes = {"boxes": np.float32, "track_id": np.int64, "confidence": np.float32}
        for name, dtype in dtypes.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        shape = self.track_id.shape
        fit = self.boxes.shape == (*shape, 4) and self.confidence.shape == shape
        if len(shape) != 2 or not fit:
            raise ValueError(
                "expected boxes (T, M, 4), track_id (T, M) and confidence (T, M), "
                f"got {self.boxes.shape}, {shape} and {self.confidence.shape}"
            )
        if np.isnan(self.boxes[self.present]).any():
            raise ValueError("expected a box for every track_id >= 0, got NaN")
        ordered = np.sort(self.track_id, axis=1)
        repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        if repeated.any():
            frame = int(np.argmax(repeated.any(axis=1)))
            raise ValueError(f"expected each track_id once a frame, got repeats in frame {frame}")

    @classmethod
    def from_frames(
        cls,
        boxes: Sequence[ArrayLike],
        track_id: Sequence[ArrayLike],
        confidence: Sequence[ArrayLike] | None = None,
    ) -> Self:
        """Pads frames with different numbers of objects to one array.

        Args:
            boxes: One (N_t, 4) array a frame; an empty frame may be `[]`.
            track_id: One (N_t,) array a frame.
            confidence: One (N_t,) array a frame; 1 for every object when left out.

        Returns:
            The tracks of all T = len(boxes) frames, with M the largest N_t.

        Raises:
            ValueError: If the numbers of frames or of objects in a frame disagree.
        """
        counts = [np.size(ids) for ids in track_id]
        shape = len(counts), max(counts, default=0)
        all_boxes = np.full((*shape, 4), np.nan, np.float32)
        all_ids = np.full(shape, -1, np.int64)
        all_confidences = np.zeros(shape, np.float32)
        if confidence is None:
            confidence = [np.ones(count) for count in counts]
        frames = zip(counts, boxes, track_id, confidence, strict=True)
        for t, (count, frame_boxes, frame_ids, frame_confidence) in enumerate(frames):
            all_boxes[t, :count] = np.reshape(frame_boxes, (count, 4))
            all_ids[t, :count] = frame_ids
            all_confidences[t, :count] = frame_confidence
        return cls(all_boxes, all_ids, all_confidences)

    @property
    def present(self) -> NDArray[np.bool_]:
        """(T, M) bool: which entries hold an object."""
        return self.track_id >= 0

    def after(self, start: int) -> Self:
        """The frames from `start` on."""
        return type(self)(self.boxes[start:], self.track_id[start:], self.confidence[start:])

    def grown(self, margin: float) -> Self:
        """The same with boxes that are larger by so many pixels on each side."""
        outwards = np.array([-margin, -margin, margin, margin], np.float32)
        return type(self)(self.boxes + outwards, self.track_id, self.confidence)

    def above(self, threshold: float) -> Self:
        """Empties the entries whose confidence is not above `threshold`."""
        kept = self.present & (self.confidence > threshold)
        return type(self)(
            boxes=np.where(kept[..., None], self.boxes, np.float32(np.nan)),
            track_id=np.where(kept, self.track_id, -1),
            confidence=np.where(kept, self.confidence, np.float32(0)),
        )


def iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every box of `a` with every box of `b`.

    Args:
        a: (N, 4) boxes (x0, y0, x1, y1), edges convention.
        b: (M, 4) boxes.

    Returns:
        (N, M) float64 in [0, 1]; 0 for two boxes without area. It is computed in float64, so that a
        ratio of whole or half pixels that equals a threshold is not moved off it by rounding.
    """
    first = np.asarray(a, np.float64).reshape(-1, 1, 4)
    second = np.asarray(b, np.float64).reshape(1, -1, 4)
    upper_left = np.maximum(first[..., :2], second[..., :2])
    lower_right = np.minimum(first[..., 2:], second[..., 2:])
    intersection = _area(upper_left, lower_right)  # (N, M)
    areas = _area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:])
    union = areas - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _area(upper_left: NDArray[np.float64], lower_right: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.clip(lower_right - upper_left, 0, None)
    area: NDArray[np.float64] = size[..., 0] * size[..., 1]
    return area


def paired(truth: Sequence[Tracks], predicted: Sequence[Tracks]) -> list[tuple[Tracks, Tracks]]:
    """Pairs each sequence's truth with what was predicted for it.

    Raises:
        ValueError: If there are no sequences, or the numbers of sequences or of frames disagree.
    """
    if not truth or len(truth) != len(predicted):
        raise ValueError(
            f"expected truth and predictions for the same sequences, at least one, "
            f"got {len(truth)} and {len(predicted)}"
        )
    pairs = list(zip(truth, predicted, strict=True))
    for index, (true, guess) in enumerate(pairs):
        if len(true.boxes) != len(guess.boxes):
            raise ValueError(
                f"expected truth and predictions of equal length, got {len(true.boxes)} and "
                f"{len(guess.boxes)} frames in sequence {index}"
            )
    return pairs
