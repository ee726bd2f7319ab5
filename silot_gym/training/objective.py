"""What a model is trained on, in the course of training."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from silot_gym.model import SILOT
from silot_gym.objects import Objects
from silot_gym.training.elbo import ELBO
from silot_gym.training.schedule import Schedule


@dataclass(frozen=True)
class Batch:
    """Clips of one update.

    Attributes:
        video: (B, T, 3, height, width) float32 in [0, 1].
        continues: (B,) bool, whether a clip goes on where that of the last update ended; None if
            none does.
    """

    video: Tensor
    continues: Tensor | None = None


class Objective(Protocol):
    """A loss in the course of training. The training loop knows nothing else of a model.

    Attributes:
        carried: tensors (B, ...) that were carried over last.
    """

    carried: dict[str, Tensor]

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def loss(self) -> nn.Module:
        """A module whose `forward` takes what `arguments` returns, by keyword.

        It returns the loss, its terms by name, and what is carried over to the next update.
        """

    def arguments(
        self, step: int, batch: Batch, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain options of the loss at a step; what is random comes from `rng`."""

    def validation(self, video: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and terms of held-out clips as at the end of training."""

    def settings(self) -> dict[str, Any]:
        """What a training that is resumed must have in common with the interrupted one."""


class SILOTObjective:
    """The evidence lower bound, with what the schedule says of each step."""

    def __init__(self, model: SILOT, schedule: Schedule, compact: bool = True) -> None:
        """The objective of a model; see `ELBO` for `compact`."""
        self.model: SILOT = model
        self.loss = ELBO(model, compact)
        self.schedule = schedule
        self.carried: dict[str, Tensor] = {}

    def arguments(
        self, step: int, batch: Batch, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `Objective`."""
        tensors = {"video": batch.video}
        if batch.continues is not None:
            tensors |= vars(Objects(**self.carried).forget(~batch.continues))
        discover = tuple(
            t == 0 or bool(rng.random() >= self.schedule.discovery_dropout)
            for t in range(batch.video.shape[1])
        )
        self.loss.count_prior.set(self.schedule.count_log_odds_at(step))
        return tensors, {"discover": discover, "frozen": self.schedule.frozen_at(step)}

    @torch.no_grad()
    def validation(self, video: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`; latents are their means."""
        self.loss.eval()
        self.loss.count_prior.set(self.schedule.last_count_log_odds)
        loss, terms, _ = self.loss(video)
        self.loss.train()
        return loss, terms

    def settings(self) -> dict[str, Any]:
        """See `Objective`."""
        return {"model": asdict(self.model.config)}
