"""Types of objects: which kind of thing a tracked object is, as far as its looks tell.

Nothing here knows what tracked the objects, or how their appearance is described.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ObjectTypes", "TypeVotes", "looks"]

FIND = "find them with `silot-gym types --checkpoint <its folder> --find`"
"""What to do about a checkpoint without types."""
LEAST_SIZE = 1 / 256
"""Smallest width and height, as fractions of the frame, that are told apart."""


def looks(what: ArrayLike, size: ArrayLike) -> NDArray[np.float32]:
    """What objects look like, as vectors: appearance (..., A) and log of the size (..., 2).

    In the logarithm, twice as wide is the same difference for large things and small ones.
    """
    logarithm = np.log(np.maximum(np.asarray(size, np.float32), LEAST_SIZE))
    return np.concatenate([np.asarray(what, np.float32), logarithm], -1)


@dataclass(frozen=True, eq=False)
class ObjectTypes:
    """N types of objects, numbered from 0.

    An object's type is that of the nearest centre, after a linear map that gives each difference
    in looks its weight.

    Attributes:
        centres: (N, D) float32.
        projection: (A + 2, D) float32, from `looks` to the space of the centres.
        max_count: (N,) int64, the most objects of each type that were seen at once where the types
            were found, but for rare frames.
        names: N names, "" for a type without one.
    """

    centres: NDArray[np.float32]
    projection: NDArray[np.float32]
    max_count: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError where the arrays don't fit the description above."""
        count = len(self.centres)
        if not self.names:
            object.__setattr__(self, "names", ("",) * count)
        fits = self.centres.ndim == self.projection.ndim == 2 and count > 0
        if not fits or self.centres.shape[1] != self.projection.shape[1]:
            raise ValueError(
                "expected types with centres (N, D) and a projection (A + 2, D), got "
                f"{self.centres.shape} and {self.projection.shape}"
            )
        if self.max_count.shape != (count,) or len(self.names) != count:
            raise ValueError(
                f"expected counts and names of {count} types, got {len(self.max_count)} and "
                f"{len(self.names)}"
            )

    def __len__(self) -> int:
        """Returns N."""
        return len(self.centres)

    def classify(self, what: ArrayLike, size: ArrayLike) -> NDArray[np.int64]:
        """The types of objects, each judged by itself.

        Args:
            what: (..., A) appearances.
            size: (..., 2) widths and heights as fractions of the frame.

        Returns:
            (...,) int64 in [0, N).
        """
        placed = looks(what, size) @ self.projection
        # The square of the distance, without what is the same for all centres.
        away: NDArray[np.float32] = (self.centres**2).sum(-1) - 2 * placed @ self.centres.T
        return np.asarray(away.argmin(-1), np.int64)

    def with_names(self, names: Mapping[int, str]) -> "ObjectTypes":
        """The same types, some of them with other names.

        Raises:
            ValueError: a number belongs to no type, or a name is no string.
        """
        wrong = [n for n in names if not isinstance(n, int | np.integer) or not 0 <= n < len(self)]
        if wrong:
            raise ValueError(f"expected numbers of types, 0 to {len(self) - 1}, got {wrong}")
        if not all(isinstance(name, str) for name in names.values()):
            raise ValueError(f"expected names that are strings, got {list(names.values())}")
        return replace(self, names=tuple(names.get(n, old) for n, old in enumerate(self.names)))


class TypeVotes:
    """The type of each track: the one that most of its frames speak for, the last ones above all.

    Older votes count less and less. Where a tracker mistakes one object for another that it meets,
    the track's type follows within some frames.
    """

    def __init__(self, types: ObjectTypes, lanes: int, num_slots: int, decay: float) -> None:
        """Starts without votes for the K slots of B lanes; see `PlayConfig.vote_decay`."""
        self._types, self._decay = types, decay
        self._votes = np.zeros((lanes, num_slots, len(types)), np.float32)

    def state(self) -> NDArray[np.float32]:
        """All votes so far."""
        return self._votes.copy()

    def restore(self, state: NDArray[np.float32]) -> None:
        """Goes on from what `state` gave."""
        self._votes = state.copy()

    def cast(
        self,
        lanes: Sequence[int],
        what: NDArray[np.float32],
        size: NDArray[np.float32],
        shown: NDArray[np.bool_],
        new: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Counts what is seen in one frame of some lanes, b of them.

        Args:
            lanes: which.
            what: (b, K, A) appearances.
            size: (b, K, 2) widths and heights as fractions of the frame.
            shown: (b, K) bool, slots with an object.
            new: (b, K) bool, slots whose track begins in this frame.

        Returns:
            (b, K) int64, each track's type; -1 in slots without an object.
        """
        votes = self._votes[lanes] * self._decay
        votes[new] = 0
        seen = self._types.classify(what[shown], size[shown])
        votes[(*shown.nonzero(), seen)] += 1
        self._votes[lanes] = votes
        return np.where(shown, votes.argmax(-1), -1)
