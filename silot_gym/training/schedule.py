"""What changes in the course of training, as plain functions of the step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How training goes on, in shares of its length, so that short runs are whole as well.

    Attributes:
        steps: updates in all.
        learning_rate: the highest; reached after `warmup`, and down to a hundredth at the end.
        warmup: share of the steps in which the learning rate rises.
        decay: share of the steps in which it falls.
        curriculum: (share of the steps, frames a clip): clips have that many frames from there
            on (section 3.7: first two, then more).
        count_anneal: share of the steps in which the count prior goes from asking for all
            objects to asking for few.
        first_count_log_odds: log-odds of the count prior's s at the start.
        last_count_log_odds: and from `count_anneal` on.
        training_wheels: share of the steps in which where, depth and presence are held.
        discovery_dropout: probability that a frame goes without discovery (section 3.7).
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: float = 0.02
    decay: float = 0.4
    curriculum: tuple[tuple[float, int], ...] = ((0.0, 2), (0.65, 4), (0.92, 8))
    count_anneal: float = 0.25
    first_count_log_odds: float = 13.8
    last_count_log_odds: float = -4.38
    training_wheels: float = 0.0
    discovery_dropout: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what can't be followed."""
        if self.steps < 1:
            raise ValueError(f"expected 1 training step or more, got {self.steps}")
        if not self.learning_rate > 0:
            raise ValueError(f"expected a learning rate above 0, got {self.learning_rate}")

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, a plateau, and a cosine to a hundredth."""
        rise = min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))
        fall = max(0.0, 1 - (self.steps - step) / max(1.0, self.decay * self.steps))
        return self.learning_rate * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * fall)) / 2)

    def clip_length_at(self, step: int) -> int:
        """Frames of a clip."""
        return next(
            frames for share, frames in reversed(self.curriculum) if step >= share * self.steps
        )

    def count_log_odds_at(self, step: int) -> float:
        """Linear from the first to the last value, in steps of a hundredth."""
        progress = min(1.0, step / max(1.0, self.count_anneal * self.steps))
        first, last = self.first_count_log_odds, self.last_count_log_odds
        return round(first + (last - first) * progress, 2)

    def training_wheels_at(self, step: int) -> float:
        """1 while the wheels are on, then 0."""
        return float(step < self.training_wheels * self.steps)
