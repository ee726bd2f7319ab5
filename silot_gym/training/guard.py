"""Whether a training has broken down."""

import math
from dataclasses import dataclass

EXPLODED = 3.0
"""A loss that many times the untrained model's counts as an explosion."""


@dataclass
class DivergenceGuard:
    """Compares losses with that of the untrained model.

    Attributes:
        first_loss: nats a frame before the first update; NaN until the first look.
        steps_back: how often the training went back to a save.
        max_steps_back: how often it may.
    """

    first_loss: float = math.nan
    steps_back: int = 0
    max_steps_back: int = 3

    def broken(self, loss: float) -> bool:
        """Whether a loss a frame, the highest since the last look, is an explosion or NaN."""
        if math.isnan(self.first_loss):
            self.first_loss = loss
        return not loss < EXPLODED * max(self.first_loss, 1.0)
