"""The one box convention: (x0, y0, x1, y1) in pixels, edges, so that x1 = x0 + width."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ComparableBoxes", "clip_boxes"]


def clip_boxes(boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The part of boxes (..., 4) that lies in a frame.

    A box outside of the frame becomes one without area on the frame's nearest edge.
    """
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


class ComparableBoxes(np.ndarray[Any, np.dtype[np.float32]]):
    """Boxes of which two that are NaN count as equal, unlike other arrays.

    An empty slot has a box of NaN, and gymnasium's `check_env` demands that equal steps give
    equal infos. It compares with `==` and with `np.allclose`, which resorts to `==` for NaN.
    """

    @classmethod
    def of(cls, boxes: NDArray[np.float32]) -> "ComparableBoxes":
        """The same boxes, without a copy."""
        return boxes.view(cls)

    def __eq__(self, other: object) -> Any:
        mine, its = np.asarray(self), np.asarray(other)
        return (mine == its) | ((mine != mine) & (its != its))
