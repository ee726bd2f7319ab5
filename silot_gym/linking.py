"""Which boxes of two moments are one object's, by their places alone."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

MAX_STEP = 30.0
"""Farthest that an object may move between frames, in pixels, as in the paper's baselines."""

# Larger than all distances of a frame together, so that no allowed link is given up for a shorter
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
