"""Which types of objects a game has, found without labels: objects that look alike are clustered.

A track shows one object for a while, so what changes within tracks is not what tells types apart.
Differences are therefore measured in units of that change, and each track is one point, the mean
of its frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from tqdm import tqdm

from silot_gym.calibration.config import DEFAULTS, CalibrationConfig
from silot_gym.checkpoint import Checkpoint
from silot_gym.linking import closest_pairs
from silot_gym.object_types import FIND, ObjectTypes, looks
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts import Episode

NOWHERE = 1e6
"""Where the centre of a type is that was not seen, so that no object is nearest to it."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """Objects that were seen, n of them in all frames of some sequences.

    Attributes:
        what: (n, A) appearances.
        size: (n, 2) widths and heights as fractions of the frame.
        track: (n,) int64, the number of each one's track, no two sequences sharing one.
        frame: (n,) int64, the number of the frame that it was seen in, likewise.
    """

    what: NDArray[np.float32]
    size: NDArray[np.float32]
    track: NDArray[np.int64]
    frame: NDArray[np.int64]


def find_types(
    what: ArrayLike,
    size: ArrayLike,
    track: ArrayLike,
    frame: ArrayLike,
    *,
    num_types: int | None = None,
    config: CalibrationConfig = DEFAULTS,
) -> ObjectTypes:
    """The types of objects that were seen, the frequent ones first.

    Args:
        what: As in `Sightings`; so are the next three.
        size: Likewise.
        track: Likewise.
        frame: Likewise.
        num_types: How many types there are; by default as many as are worth their price.
        config: Thresholds.

    Returns:
        The types. The same arrays give the same types.

    Raises:
        ValueError: there is no object.
    """
    seen = looks(what, size).astype(np.float64)
    if not len(seen):
        raise ValueError("expected objects to find types of, got none: is anything tracked?")
    _, track, length = np.unique(track, return_inverse=True, return_counts=True)
    means = _means(seen, track, length)
    projection = _in_units_of_change(seen, means[track], config.type_shrinkage)
    # The mean of many frames is surer than that of few, but tracks count, not frames.
    centres = _cluster(means @ projection, np.sqrt(length), num_types, config)
    types = ObjectTypes(
        centres.astype(np.float32),
        projection.astype(np.float32),
        np.zeros(len(centres), np.int64),
    )
    _, frame = np.unique(frame, return_inverse=True)
    at_once = np.zeros((frame.max() + 1, len(types)), np.int64)
    np.add.at(at_once, (frame, types.classify(what, size)), 1)
    order = at_once.sum(0).argsort(kind="stable")[::-1]
    return replace(
        types, centres=types.centres[order], max_count=_usual_max(at_once, config.type_usual)[order]
    )


def sightings(
    checkpoint: Checkpoint, episodes: Sequence[Episode], *, progress: bool = False
) -> Sightings:
    """What a checkpoint's tracker shows in whole episodes."""
    tracker = SlotTracker(checkpoint)
    what, size, track, frame = [], [], [], []
    tracks = frames = 0
    for episode in tqdm(episodes, "finding types", unit="episode", disable=not progress):
        tracker.reset()
        first = tracks
        for t in range(len(episode)):
            slots = tracker.step(episode.rgb(t, t + 1))
            shown = slots.track_id >= 0
            what.append(slots.what[shown])
            size.append(slots.where[shown][:, 2:])
            track.append(first + slots.track_id[shown])
            frame.append(np.full(shown.sum(), frames))
            tracks = max(tracks, first + 1 + int(slots.track_id.max()))
            frames += 1
    return Sightings(*(np.concatenate(part) for part in (what, size, track, frame)))


def types_of_episodes(
    checkpoint: Checkpoint,
    episodes: Sequence[Episode],
    config: CalibrationConfig = DEFAULTS,
    *,
    progress: bool = False,
) -> ObjectTypes | None:
    """The types of the objects that a checkpoint tracks in some episodes; see `find_types`.

    Returns:
        The types, or None if nothing is tracked.
    """
    seen = sightings(checkpoint, episodes, progress=progress)
    if not len(seen.track):
        return None
    return find_types(seen.what, seen.size, seen.track, seen.frame, config=config)


def carried_over(
    old: Checkpoint,
    new: Checkpoint,
    episodes: Sequence[Episode],
    config: CalibrationConfig = DEFAULTS,
    *,
    progress: bool = False,
) -> ObjectTypes:
    """The types of one checkpoint, with their numbers and names, as another one sees them.

    Both play the same episodes. Where they show an object at the same place, the new one learns
    what that type looks like to it. A type that was never seen is never found again.

    Args:
        old: Knows types.
        new: Of the same game.
        episodes: What is played.
        config: Thresholds.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: `old` knows no types, or nothing was shown at the same place.
    """
    if old.types is None:
        raise ValueError(f"expected types to carry over, got a checkpoint without: {FIND}")
    trackers = SlotTracker(old), SlotTracker(new)
    seen, track, kind = [], [], []
    first = last = 0
    for episode in tqdm(episodes, "carrying types over", disable=not progress):
        first = last + 1
        for tracker in trackers:
            tracker.reset()
        for t in range(len(episode)):
            theirs, ours = (tracker.step(episode.rgb(t, t + 1)) for tracker in trackers)
            shown = [np.flatnonzero(slots.track_id[0] >= 0) for slots in (theirs, ours)]
            middles = [
                (slots.boxes[0, rows, :2] + slots.boxes[0, rows, 2:]) / 2
                for slots, rows in zip((theirs, ours), shown, strict=True)
            ]
            a, b = closest_pairs(cdist(*middles), config.same_place)
            a, b = shown[0][a], shown[1][b]
            seen.append(looks(ours.what[0, b], ours.where[0, b, 2:]))
            track.append(first + ours.track_id[0, b])
            kind.append(theirs.category[0, a])
            last = max(last, first + int(ours.track_id.max(initial=0)))
    points, kinds = np.concatenate(seen).astype(np.float64), np.concatenate(kind)
    if not len(points):
        raise ValueError("expected objects that both checkpoints show, found none")
    _, number, length = np.unique(np.concatenate(track), return_inverse=True, return_counts=True)
    means = _means(points, number, length)
    projection = _in_units_of_change(points, means[number], config.type_shrinkage)
    centres = np.full((len(old.types), projection.shape[1]), NOWHERE)
    for category in np.unique(kinds):
        centres[category] = (points[kinds == category] @ projection).mean(0)
    return replace(
        old.types, centres=centres.astype(np.float32), projection=projection.astype(np.float32)
    )


def _usual_max(at_once: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """The most objects of each type at once, but for rare frames, of their numbers (F, types)."""
    usual = []
    for column in at_once.T:
        shown = np.sort(column[column > 0])
        usual.append(shown[math.ceil(share * len(shown)) - 1] if len(shown) else 0)
    return np.array(usual, np.int64)


def _means(
    seen: NDArray[np.float64], track: NDArray[np.intp], length: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The mean of each track."""
    sums = np.zeros((len(length), seen.shape[1]))
    np.add.at(sums, track, seen)
    means: NDArray[np.float64] = sums / length[:, None]
    return means


def _in_units_of_change(
    seen: NDArray[np.float64], means: NDArray[np.float64], shrinkage: float
) -> NDArray[np.float64]:
    """The linear map after which looks change alike in all directions within tracks."""
    change = np.cov((seen - means).T, bias=True)
    least = shrinkage * np.var(seen, axis=0).mean() + np.finfo(np.float32).eps
    values, directions = np.linalg.eigh(change + least * np.eye(len(change)))
    projection: NDArray[np.float64] = directions / np.sqrt(values)
    return projection


def _cluster(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    count: int | None,
    config: CalibrationConfig,
) -> NDArray[np.float64]:
    """Centres of k-means, as many as are asked for or else as are worth their price."""
    most = min(config.max_types, len(np.unique(points, axis=0)))
    best, centres = np.inf, points[:1]
    for k in range(1, most + 1) if count is None else (count,):
        found = KMeans(k, n_init=config.type_starts, random_state=0).fit(
            points, sample_weight=weights
        )
        cost = found.inertia_ / weights.sum() + config.type_price * k
        if cost < best:
            best, centres = cost, found.cluster_centers_
    return centres
