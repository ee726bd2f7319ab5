"""One update of a model."""

import math
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from silot_gym.training.cuda_graph import CUDAGraphRunner
from silot_gym.training.objective import Objective
from silot_gym.training.schedule import Schedule
from silot_gym.training.stream import ClipStream


class TrainStep:
    """One step down the gradient; what it draws depends on the seed and the step alone.

    All processes draw the same clips and take their share; the noise is each one's own.
    """

    def __init__(
        self,
        objective: Objective,
        stream: ClipStream,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        *,
        fabric: Fabric,
        clip_gradient: float,
        seed: int,
    ) -> None:
        """Sets up model and optimizer for the devices of `fabric`."""
        self._objective, self._stream, self._schedule = objective, stream, schedule
        self._optimizer, self._fabric = optimizer, fabric
        self._loss, self._fabric_optimizer = fabric.setup(objective.loss, optimizer)
        self._max_norm, self._seed = clip_gradient, seed
        # What several processes tell one another can't be captured.
        alone_on_gpu = fabric.device.type == "cuda" and fabric.world_size == 1
        self._gradient = CUDAGraphRunner(self._compute) if alone_on_gpu else self._compute

    def __call__(self, step: int, attempt: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Updates the weights.

        Args:
            step: of the training.
            attempt: how often the training went back to a save; each attempt draws other clips.

        Returns:
            The loss in nats a clip, the mean over all processes, NaN if the gradient was not
            finite; and its terms in this process.
        """
        seeds = (self._seed, step, attempt)
        rng = np.random.default_rng(seeds)
        noise = np.random.SeedSequence((*seeds, self._fabric.global_rank))
        torch.manual_seed(int(noise.generate_state(1)[0]))
        tensors, options = self._objective.arguments(step, self._stream.next(step, rng), rng)
        loss, terms, carried, gradients = self._gradient(tensors, **options)
        self._objective.carried = carried
        for weight, gradient in zip(self._objective.model.parameters(), gradients, strict=True):
            weight.grad = gradient
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.learning_rate_at(step)
        norm = self._fabric.clip_gradients(
            self._loss,
            self._fabric_optimizer,
            max_norm=self._max_norm,
            error_if_nonfinite=False,
        )
        self._fabric_optimizer.step()
        # A gradient that is not finite has just spoilt the weights, though the loss was fine.
        assert norm is not None
        mean = self._fabric.all_reduce(loss, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean.where(norm.isfinite(), math.nan), terms

    def _compute(self, tensors: dict[str, Tensor], **options: Any) -> tuple[Any, ...]:
        """What the loss returns, and its gradient."""
        self._optimizer.zero_grad()
        loss, terms, carried = self._loss(**tensors, **options)
        self._fabric.backward(loss)
        gradients = [weight.grad for weight in self._objective.model.parameters()]
        return loss.detach(), terms, carried, gradients
