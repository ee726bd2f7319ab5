"""Which types of objects a game has, found without labels: objects that look alike are clustered.

A track shows one object for a while, so what changes within tracks is not what tells types apart.
Differences are therefore measured in units of that change, and each track is one point, the mean
of its frames.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples

from silot_gym.checkpoint import Checkpoint
from silot_gym.object_types import ObjectTypes, looks
from silot_gym.rollouts import Episode
from silot_gym.tracker import SlotTracker

MOST_TYPES = 12
"""The most types that a game may have."""
SHRINKAGE = 0.1
"""Share of all variance that is added to that within tracks, lest directions in which tracks hardly
change outweigh all others."""
STARTS = 10
"""Random starts of k-means, of which the best is taken."""


def find_types(what: ArrayLike, size: ArrayLike, track: ArrayLike, frame: ArrayLike) -> ObjectTypes:
    """The types of objects that were seen, as many as a criterion says, the frequent ones first.

    Args:
        what: (n, A) appearances of n objects in frames.
        size: (n, 2) their widths and heights as fractions of the frame.
        track: (n,) int, the number of each one's track, no two sequences sharing one.
        frame: (n,) int, the number of the frame that it was seen in, likewise.

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
    projection = _in_units_of_change(seen, means[track])
    points, weights = means @ projection, np.sqrt(length)
    centres = _cluster(points, weights)
    types = _types(centres, projection)

    votes = np.zeros((len(means), len(types)))
    np.add.at(votes, (track, types.classify(what, size)), 1)
    kind = votes.argmax(1)[track]
    _, frame = np.unique(frame, return_inverse=True)
    at_once = np.zeros((frame.max() + 1, len(types)), np.int64)
    np.add.at(at_once, (frame, kind), 1)
    order = at_once.sum(0).argsort(kind="stable")[::-1]
    return ObjectTypes(types.centres[order], types.projection, at_once.max(0)[order])


def types_of_episodes(checkpoint: Checkpoint, episodes: Sequence[Episode]) -> ObjectTypes:
    """The types of the objects that a checkpoint tracks in some episodes; see `find_types`."""
    tracker = SlotTracker(checkpoint)
    what, size, track, frame = [], [], [], []
    tracks = frames = 0
    for episode in episodes:
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
    return find_types(*(np.concatenate(part) for part in (what, size, track, frame)))


def _means(
    seen: NDArray[np.float64], track: NDArray[np.intp], length: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The mean of each track."""
    sums = np.zeros((len(length), seen.shape[1]))
    np.add.at(sums, track, seen)
    means: NDArray[np.float64] = sums / length[:, None]
    return means


def _in_units_of_change(
    seen: NDArray[np.float64], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The linear map after which looks change alike in all directions within tracks."""
    change = np.cov((seen - means).T, bias=True)
    least = SHRINKAGE * np.var(seen, axis=0).mean() + np.finfo(np.float32).eps
    values, directions = np.linalg.eigh(change + least * np.eye(len(change)))
    projection: NDArray[np.float64] = directions / np.sqrt(values)
    return projection


def _cluster(points: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of the clustering with the highest silhouette."""
    most = min(MOST_TYPES, len(np.unique(points, axis=0)) - 1)
    best, centres = -np.inf, np.average(points, axis=0, weights=weights)[None]
    for count in range(2, most + 1):
        found = KMeans(count, n_init=STARTS, random_state=0).fit(points, sample_weight=weights)
        silhouette = np.average(silhouette_samples(points, found.labels_), weights=weights)
        if silhouette > best:
            best, centres = silhouette, found.cluster_centers_
    return centres


def _types(centres: NDArray[np.float64], projection: NDArray[np.float64]) -> ObjectTypes:
    """Types with these centres, not seen yet."""
    return ObjectTypes(
        centres.astype(np.float32),
        projection.astype(np.float32),
        np.zeros(len(centres), np.int64),
    )
