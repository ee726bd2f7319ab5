"""What changes in the course of training, as plain functions of the step."""

import math
from dataclasses import dataclass, replace
from typing import Any

from silot_gym.model.latents import Frozen


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
        carry_over: share of the steps from which on most clips follow those of the update before,
            with the objects that were tracked there. Long episodes are learned at the price of
            short clips: no gradient goes back.
        restart_prob: probability that a clip is a new one nevertheless.
        count_anneal: share of the steps in which the count prior goes from taking all numbers of
            objects for equally likely to asking for few.
        first_count_log_odds: log-odds of the count prior's s at the start.
        last_count_log_odds: and from `count_anneal` on. -4.38 in the paper, for which a shield is
            cheaper in two pieces than in one.
        presence_frozen: share of the steps in which all discovered objects are taken to be present.
            Objects whose sprites fit nothing yet would be given up, and the few that stay would
            grow over what the others have left. (The authors freeze where and depth as well.)
        stay_frozen: share of the steps in which all tracked objects are taken to stay. Where
            objects are fast, it is easier at first to give all of them up and to discover them anew
            in each frame, and nothing leads back from there.
        size_frozen: share of the steps in which all boxes keep the size that they start from. While
            sprites fit nothing yet, a box that grows over two objects is worth more than either.
        discovery_dropout: probability that a frame goes without discovery (section 3.7).
    """

    steps: int = 5000
    learning_rate: float = 1e-3
    warmup: float = 0.02
    decay: float = 0.4
    curriculum: tuple[tuple[float, int], ...] = ((0.0, 2), (0.5, 3))
    carry_over: float = 0.5
    restart_prob: float = 0.1
    count_anneal: float = 0.25
    first_count_log_odds: float = 13.8
    last_count_log_odds: float = -12.0
    presence_frozen: float = 0.04
    stay_frozen: float = 0.25
    size_frozen: float = 0.25
    discovery_dropout: float = 0.5

    def going_on(self) -> "Schedule":
        """The same for a model that is trained already: shorter, finer, and nothing is frozen.

        What differs from the defaults stays as it is.
        """
        other: dict[str, Any] = {
            "steps": 1500,
            "learning_rate": 3e-4,
            "curriculum": ((0.0, 3),),
            "carry_over": 0.0,
            "first_count_log_odds": self.last_count_log_odds,
            "presence_frozen": 0.0,
            "stay_frozen": 0.0,
            "size_frozen": 0.0,
        }
        default = Schedule()
        kept = {name for name in other if getattr(self, name) != getattr(default, name)}
        return replace(self, **{name: other[name] for name in other.keys() - kept})

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

    def frozen_at(self, step: int) -> Frozen:
        """The decisions that are not left to the networks yet."""
        share = step / self.steps
        return Frozen(
            presence=share < self.presence_frozen,
            stay=share < self.stay_frozen,
            size=share < self.size_frozen,
        )
