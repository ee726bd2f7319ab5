"""What changes in the course of training, as plain functions of the step."""

import math
from dataclasses import dataclass

from silot_gym.model.latents import Held


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
        renewal: probability that a clip is a new one nevertheless.
        count_anneal: share of the steps in which the count prior goes from taking all numbers of
            objects for equally likely to asking for few.
        first_count_log_odds: log-odds of the count prior's s at the start.
        last_count_log_odds: and from `count_anneal` on. -4.38 in the paper, for which a shield is
            dearer in one piece than in two.
        presence_held: share of the steps in which all discovered objects are taken to be present.
            Objects whose sprites fit nothing yet would be given up, and the few that stay would
            grow over what the others have left. (The authors hold where and depth as well.)
        stay_held: share of the steps in which all tracked objects are taken to stay. Where objects
            are fast, it is easier at first to give all of them up and to discover them anew in
            each frame, and nothing leads back from there.
        size_held: share of the steps in which all boxes keep the size that they start from. While
            sprites fit nothing yet, a box that grows over two objects is worth more than either.
        discovery_dropout: probability that a frame goes without discovery (section 3.7).
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: float = 0.02
    decay: float = 0.4
    curriculum: tuple[tuple[float, int], ...] = ((0.0, 2), (0.5, 3))
    carry_over: float = 0.5
    renewal: float = 0.1
    count_anneal: float = 0.25
    first_count_log_odds: float = 13.8
    last_count_log_odds: float = -12.0
    presence_held: float = 0.04
    stay_held: float = 0.25
    size_held: float = 0.25
    discovery_dropout: float = 0.5

    @classmethod
    def going_on(cls, steps: int, learning_rate: float) -> "Schedule":
        """For a model that is trained already: nothing is held, and few objects are asked for."""
        return cls(
            steps,
            learning_rate,
            curriculum=((0.0, 3),),
            carry_over=0.0,
            first_count_log_odds=cls.last_count_log_odds,
            presence_held=0.0,
            stay_held=0.0,
            size_held=0.0,
        )

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

    def held_at(self, step: int) -> Held:
        """What the networks do not decide yet."""
        share = step / self.steps
        return Held(share < self.presence_held, share < self.stay_held, share < self.size_held)
