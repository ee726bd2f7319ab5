"""Posterior distributions of objects, and the distances between distributions.

In discovery they are over the attributes themselves; in propagation over the changes of position,
appearance and depth, and over the size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """Distribution over the latents of N objects in each of B streams.

    The Gaussian latents of an object lie side by side, see `side_by_side`.

    Attributes:
        mean: (B, N, D) float.
        std: (B, N, D) float, positive.
        presence_logit: (B, N) float in [-10, 10], log-odds that the object is present (still
            present, in propagation).
    """

    mean: Tensor
    std: Tensor
    presence_logit: Tensor

    @staticmethod
    def concatenate(parts: "Sequence[Latents]", dim: int) -> "Latents":
        """The streams of all parts, in their order; with `dim` 1 the objects of all parts."""
        return Latents(
            *(torch.cat([getattr(part, f.name) for part in parts], dim) for f in fields(Latents))
        )


def side_by_side(where: Tensor, what: Tensor, depth: Tensor) -> Tensor:
    """An object's latents in their order: position and size (..., 4), (..., A) and (..., 1)."""
    return torch.cat([where, what, depth], -1)


class Frozen(NamedTuple):
    """Decisions that are overridden early in training, before the networks are reliable.

    Attributes:
        presence: whether all discovered objects are present with a fixed, high probability.
        stay: whether all propagated objects stay with that probability.
        size: whether all boxes have, but for noise, the size that they start from.
    """

    presence: bool = False
    stay: bool = False
    size: bool = False


NOT_FROZEN = Frozen()


def draw_normal(mean: Tensor, std: Tensor, noisy: bool) -> Tensor:
    """A reparameterised draw from N(mean, std), or the mean where `noisy` is false."""
    return mean + std * torch.randn_like(mean) if noisy else mean


def draw_presence(logit: Tensor, temperature: float, noisy: bool) -> Tensor:
    """A draw in (0, 1) of a binary concrete variable, or its median where `noisy` is false.

    It is above 1/2 with the probability whose log-odds are `logit`.
    """
    if noisy:
        uniform = torch.rand_like(logit).clamp(1e-6, 1 - 1e-6)
        logit = logit + uniform.logit()
    return (logit / temperature).sigmoid()


def normal_kl(mean: Tensor, std: Tensor, prior_mean: Tensor, prior_std: Tensor) -> Tensor:
    """KL(N(mean, std) || N(prior_mean, prior_std)) for each element, in nats."""
    ratio = (std / prior_std) ** 2
    return 0.5 * (ratio + ((mean - prior_mean) / prior_std) ** 2 - 1 - ratio.log())


def logistic_kl(logit: Tensor, prior_logit: Tensor) -> Tensor:
    """KL between logistic variables of scale 1 around two log-odds, in nats.

    With u the logistic function of the variable, which is uniform, the expected difference of the
    log-densities is an integral of log(u + (1 - u) exp(d)), d the difference of the log-odds.
    """
    distance = (logit - prior_logit).abs().clamp(min=1e-3)
    return distance / (distance / 2).tanh() - 2


def std_logit(std: float) -> float:
    """The value that `bounded_std` maps to `std`, which lies in (0, 2)."""
    return math.log(std / (2 - std))


def bounded_std(logit: Tensor) -> Tensor:
    """A standard deviation in (0, 2) for any real number; 1 for 0."""
    return 2 * logit.clamp(-10, 10).sigmoid()
