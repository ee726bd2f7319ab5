"""Truth read from the console's memory: boxes and identities over long sequences of real games.

The files are described in `benchmarks/data/README.md`. Not everything in them must be found: a
sprite that flickers is not drawn in every frame, scores and lives are no concern of a player's, and
explosions are drawn but have no truth. Such things are neither asked for nor held against a tracker
that shows them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from silot_gym.evaluation.tracking import tracking_metrics
from silot_gym.evaluation.tracks import Tracks, iou, paired

MEMORY_GAMES = (
    "Asteroids",
    "Boxing",
    "Breakout",
    "Carnival",
    "Freeway",
    "MsPacman",
    "Pong",
    "SpaceInvaders",
)
"""Games with a bundled checkpoint and memory truth."""
MEMORY_METRICS = ("MOTA", "HOTA", "IDF1", "precision", "recall", "F1", "count_error")

_IOU = 0.5  # of a match
_COVERED = 0.5  # share of a prediction's area that must lie under don't-care boxes to drop it


class MemoryTruthError(ValueError):
    """A file of memory truth is missing or damaged."""


@dataclass(frozen=True, eq=False)
class Requirement:
    """What a tracker must find in S sequences of T frames, and what is not held against it.

    Attributes:
        truth: S tracks of T frames. An object keeps its id through frames in which it is absent
            because it is not drawn.
        dont_care: (S, T, N, 4) float32 boxes (x0, y0, x1, y1) in pixels, edges convention; NaN
            where there is none.
    """

    truth: list[Tracks]
    dont_care: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MemoryTruth:
    """S sequences of T frames of one game, with what there is to find in them.

    Attributes:
        game: As in the environment's id, for example `SpaceInvaders`.
        frames: (S, T, H, W) uint8 palette indices.
        palette: (256, 3) uint8 RGB.
        all_drawn: Requires all objects that are drawn, except displays (score, lives, clocks).
        what_moves: Requires only those of them that move; static scenery joins the don't-care.
    """

    game: str
    frames: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    all_drawn: Requirement
    what_moves: Requirement

    def rgb(self) -> NDArray[np.uint8]:
        """The frames as observed, (S, T, H, W, 3) uint8."""
        return self.palette.take(self.frames, axis=0)


def load_memory_truth(path: str | Path) -> MemoryTruth:
    """Reads one game's truth.

    Args:
        path: A file `<Game>.npz`.

    Raises:
        MemoryTruthError: It is missing, damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*_LAYOUT, "meta")}
        _check(arrays)
        return MemoryTruth(
            game=str(json.loads(str(arrays["meta"]))["game"]),
            frames=arrays["frames"],
            palette=arrays["palette"],
            all_drawn=_requirement(arrays, static=True),
            what_moves=_requirement(arrays, static=False),
        )
    except FileNotFoundError:
        raise MemoryTruthError(f"{path}: no such file: expected a game's memory truth") from None
    except Exception as error:  # in a damaged file zipfile, zlib and numpy raise all kinds
        reason = " ".join(str(error).split())
        raise MemoryTruthError(
            f"{path}: expected a whole file of memory truth, found damage "
            f"({type(error).__name__}: {reason:.200}): copy it again"
        ) from None


def score_memory(requirement: Requirement, predicted: Sequence[Tracks]) -> dict[str, float]:
    """Scores tracks over whole sequences, each by itself, without punishing don't-cares.

    A prediction counts unless it is excused, which is decided frame by frame: required objects and
    predictions are matched one to one for the largest sum of IoUs, pairs below .5 barred. A
    prediction without a match is excused, and dropped before anything is scored, if at least half
    of its area lies under don't-care boxes, all of the frame's boxes taken together. (Each
    prediction with IoU >= .5 with a don't-care box is among these.) So an object found twice is
    still false once, unless the second box lies on something that nobody needs to find.

    Args:
        requirement: What is to be found.
        predicted: The tracks of each sequence. All present entries are predictions; confidences
            play no part.

    Returns:
        One value for each of `MEMORY_METRICS`: those of `tracking_metrics` at IoU .5, and the mean
        over all frames of | predictions that count - required objects |.

    Raises:
        ImportError: If trackeval is not installed.
        ValueError: If the numbers of sequences or of frames disagree.
    """
    pairs = paired(requirement.truth, predicted)
    counted = [
        _without_excused(truth, guess, dont_care)
        for (truth, guess), dont_care in zip(pairs, requirement.dont_care, strict=True)
    ]
    tracking = tracking_metrics(requirement.truth, counted)
    miscounts = [
        np.abs(guess.present.sum(axis=1) - truth.present.sum(axis=1))
        for truth, guess in zip(requirement.truth, counted, strict=True)
    ]
    return {
        "MOTA": tracking.mota,
        "HOTA": tracking.hota,
        "IDF1": tracking.idf1,
        "precision": tracking.precision,
        "recall": tracking.recall,
        "F1": tracking.f1,
        "count_error": float(np.mean(miscounts)),
    }


def _without_excused(truth: Tracks, predicted: Tracks, dont_care: NDArray[np.float32]) -> Tracks:
    """The predictions of one sequence that count; `dont_care` is (T, N, 4)."""
    counts = predicted.present.copy()
    for t, (present, required) in enumerate(zip(predicted.present, truth.present, strict=True)):
        boxes = predicted.boxes[t][present]
        matched = _matched(iou(boxes, truth.boxes[t][required]))
        others = dont_care[t][~np.isnan(dont_care[t]).any(axis=-1)]
        counts[t, present] = matched | (covered_share(boxes, others) < _COVERED)
    return Tracks(
        boxes=np.where(counts[..., None], predicted.boxes, np.float32(np.nan)),
        track_id=np.where(counts, predicted.track_id, -1),
        confidence=np.where(counts, predicted.confidence, np.float32(0)),
    )


def _matched(overlap: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of IoUs (N, M) have a partner in the best one-to-one assignment."""
    worth = np.where(overlap >= _IOU, overlap, 0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    matched = np.zeros(len(overlap), bool)
    matched[rows] = worth[rows, columns] > 0
    return matched


def covered_share(
    boxes: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Share of each box's area that lies under other boxes, where these overlap counted once.

    Args:
        boxes: (N, 4) boxes (x0, y0, x1, y1).
        others: (M, 4) boxes.

    Returns:
        (N,) float64 in [0, 1]; 0 for a box without area.
    """
    # The lines through all edges of the others cut the plane into cells (y, x), each of which lies
    # wholly under one of them or under none.
    x, y = np.unique(others[:, 0::2]), np.unique(others[:, 1::2])
    columns = (others[:, :1] <= x[:-1]) & (x[1:] <= others[:, 2:3])
    rows = (others[:, 1:2] <= y[:-1]) & (y[1:] <= others[:, 3:])
    under = (rows.T @ columns).astype(np.float64)  # (cells along y, cells along x)
    widths, heights = _lengths(boxes[:, 0::2], x), _lengths(boxes[:, 1::2], y)
    covered: NDArray[np.float64] = np.sum(heights @ under * widths, axis=1)
    size = np.asarray(boxes[:, 2:] - boxes[:, :2], np.float64)
    area = size[:, 0] * size[:, 1]
    share: NDArray[np.float64] = np.divide(
        covered, area, out=np.zeros_like(covered), where=area > 0
    )
    return share


def _lengths(
    spans: NDArray[np.floating[Any]], marks: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """How much of each span (N, 2) lies between successive marks (L,): (N, L - 1)."""
    first, last = np.asarray(spans, np.float64).T[..., None]
    lengths: NDArray[np.float64] = np.minimum(last, marks[1:]) - np.maximum(first, marks[:-1])
    return lengths.clip(min=0)


# The axes of each array: S sequences, T frames of H x W, M objects, U boxes that have no truth.
_LAYOUT: dict[str, tuple[str, type[np.generic]]] = {
    "frames": ("STHW", np.uint8),
    "palette": ("PC", np.uint8),
    "boxes": ("STMB", np.floating),
    "track_id": ("STM", np.integer),
    "hud": ("STM", np.bool_),
    "visible": ("STM", np.bool_),
    "static": ("STM", np.bool_),
    "ignore_boxes": ("STUB", np.floating),
}


def _check(arrays: dict[str, NDArray[Any]]) -> None:
    """Raises ValueError for an array of another type, or of a shape that disagrees with others."""
    sizes = {"P": 256, "C": 3, "B": 4}
    for name, (axes, kind) in _LAYOUT.items():
        shape, dtype = arrays[name].shape, arrays[name].dtype
        fits = len(shape) == len(axes) and np.issubdtype(dtype, kind)
        if not fits or any(sizes.setdefault(a, n) != n for a, n in zip(axes, shape, strict=True)):
            raise ValueError(f"{name} is {dtype} {shape}, which does not fit axes {axes}")


def _requirement(arrays: dict[str, NDArray[Any]], *, static: bool) -> Requirement:
    """What is required, with or without static scenery."""
    present = arrays["track_id"] >= 0
    required = present & arrays["visible"] & ~arrays["hud"]
    if not static:
        required &= ~arrays["static"]
    boxes, nowhere = arrays["boxes"], np.float32(np.nan)
    others = np.where((present & ~required)[..., None], boxes, nowhere)
    truth = zip(
        np.where(required[..., None], boxes, nowhere),
        np.where(required, arrays["track_id"], -1),
        required.astype(np.float32),
        strict=True,
    )
    dont_care = np.concatenate([others, arrays["ignore_boxes"]], axis=2)
    return Requirement([Tracks(*sequence) for sequence in truth], dont_care)
