"""Which boxes of two moments are one object's, by their places alone."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from silot_gym.objects import Objects

MAX_STEP = 30.0
"""Farthest that an object may move between frames, in pixels, as in the paper's baselines."""

# Dearer than all distances of a frame together, so that no allowed link is given up for a shorter
# sum, yet finite, because the assignment refuses a row that has no finite entry.
_FORBIDDEN = 1e6


def closest_pairs(
    distances: ArrayLike, most: float = np.inf
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The one-to-one assignment with the smallest sum of distances (Hungarian algorithm).

    Args:
        distances: (N, M), infinite where a pair is not allowed.
        most: Pairs that are farther apart are not allowed.

    Returns:
        Rows and columns of the pairs, as many as are allowed, rows ascending.
    """
    distances = np.asarray(distances, np.float64)
    allowed = np.isfinite(distances) & (distances <= most)
    rows, columns = linear_sum_assignment(np.where(allowed, distances, _FORBIDDEN))
    linked = allowed[rows, columns]
    return rows[linked], columns[linked]


def resume_lost(
    objects: Objects, last: Objects, lost: Tensor, found: Tensor, most: float
) -> tuple[Objects, Tensor]:
    """Objects in which one that was lost goes on as one that was found nearby at the same time.

    Propagation looks for an object where it is expected. One that jumps further is lost there, and
    found by discovery, in the same step.

    Args:
        objects: (B, K) of this step.
        last: (B, K) of the last step.
        lost: (B, K) bool, slots of `last` whose objects are not there any more.
        found: (B, K) bool, slots of `objects` with new ones.
        most: Largest distance between the two places, in the model's pixels.

    Returns:
        The objects with each found one in the slot of the lost one that it continues, under its
        `track_id`; what was in that slot changes places with it, and has no id if it is what was
        left of the lost one. And the slots (B, K) that they were in.
    """
    device = objects.presence.device
    source = np.tile(np.arange(objects.presence.shape[1]), (len(objects.presence), 1))
    lanes = (lost.any(1) & found.any(1)).nonzero().flatten().tolist()
    if not lanes:
        return objects, torch.from_numpy(source).to(device)
    track_id, identities = (o.track_id.numpy(force=True).copy() for o in (objects, last))
    now, before = (o.position.numpy(force=True) for o in (objects, last))
    were, are = lost.numpy(force=True), found.numpy(force=True)
    for lane in lanes:
        old, new = were[lane].nonzero()[0], are[lane].nonzero()[0]
        away = np.linalg.norm(before[lane, old, None] - now[lane, new], axis=-1)
        for i, j in zip(*closest_pairs(away, most), strict=True):
            slot, row = old[i], new[j]
            identity = identities[lane, slot]
            track_id[lane, track_id[lane] == identity] = -1
            track_id[lane, row] = identity
            here = source[lane] == row
            source[lane, here], source[lane, slot] = source[lane, slot], row
    swapped = torch.from_numpy(source).to(device)
    return replace(objects, track_id=torch.from_numpy(track_id).to(device)).take(swapped), swapped
