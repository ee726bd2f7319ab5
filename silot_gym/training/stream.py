"""The clips of one update after the other."""

from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from silot_gym.training.clips import ClipSampler
from silot_gym.training.objective import Batch
from silot_gym.training.schedule import Schedule


class ClipStream:
    """Clips of episodes, as long as the schedule says, of which later ones go on where others end.

    Attributes:
        places: (B, 4) int64, where the clips of the next update go on; None before the first. See
            `ClipSampler.following`.
    """

    def __init__(
        self, sampler: ClipSampler, schedule: Schedule, batch_size: int, fabric: Fabric
    ) -> None:
        """A stream of batches, of which each process of `fabric` gets its share.

        Raises:
            ValueError: the batch can't be shared by the processes evenly.
        """
        if batch_size % fabric.world_size:
            raise ValueError(
                f"expected a batch size that {fabric.world_size} processes can share evenly, "
                f"got {batch_size}"
            )
        self._sampler, self._schedule, self._fabric = sampler, schedule, fabric
        self._batch_size = batch_size
        share = batch_size // fabric.world_size
        self._mine = slice(share * fabric.global_rank, share * (fabric.global_rank + 1))
        self.places: NDArray[np.int64] | None = None

    def next(self, step: int, rng: np.random.Generator) -> Batch:
        """The clips of a step, on the process's device."""
        length = self._schedule.clip_length_at(step)
        continues = None
        if self.places is None or step < self._schedule.carry_over * self._schedule.steps:
            places = self._sampler.places(rng, self._batch_size, length)
        else:
            places, new = self._sampler.following(
                rng, self.places, length, self._schedule.restart_prob
            )
            continues = self._fabric.to_device(torch.from_numpy(~new[self._mine]))
        self.places = places + np.array([0, length, 0, 0])
        video = self._fabric.to_device(self._sampler.clips(places[self._mine], length))
        return Batch(video, continues)

    def settings(self) -> dict[str, Any]:
        """What a training that is resumed must have in common with the interrupted one."""
        return self._sampler.settings()
