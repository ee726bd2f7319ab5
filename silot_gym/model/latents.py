"""Distributions over what changes in a time step, and the distances between them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus


@dataclass(frozen=True)
class Latents:
    """Distribution over the latents of N objects in each of B streams.

    The Gaussian latents of an object lie side by side: two of position, two of size, the
    appearance, one of depth (D = what_dim + 5).

    Attributes:
        mean: (B, N, D) float.
        std: (B, N, D) float, positive.
        presence_logit: (B, N) float in [-10, 10], log-odds that the object is present (still
            present, in propagation).
        presence_sample: (B, N) float, the draw behind the presence: logistic noise around
            `presence_logit`, or `presence_logit` itself where nothing is drawn. Divided by the
            temperature, its logistic function is the presence.
    """

    mean: Tensor
    std: Tensor
    presence_logit: Tensor
    presence_sample: Tensor


def draw_normal(mean: Tensor, std: Tensor, noisy: bool) -> Tensor:
    """A reparameterised draw from N(mean, std), or the mean where `noisy` is false."""
    return mean + std * torch.randn_like(mean) if noisy else mean


def draw_presence(logit: Tensor, noisy: bool) -> Tensor:
    """A draw of a logistic variable around `logit`, or `logit` where `noisy` is false."""
    if not noisy:
        return logit
    uniform = torch.rand_like(logit).clamp(1e-6, 1 - 1e-6)
    return logit + uniform.logit()


def normal_kl(mean: Tensor, std: Tensor, prior_mean: Tensor, prior_std: Tensor) -> Tensor:
    """KL(N(mean, std) || N(prior_mean, prior_std)) for each element, in nats."""
    ratio = (std / prior_std) ** 2
    return 0.5 * (ratio + ((mean - prior_mean) / prior_std) ** 2 - 1 - ratio.log())


def logistic_log_density(sample: Tensor, logit: Tensor) -> Tensor:
    """Log-density in `sample` of a logistic distribution centred on `logit`, in nats."""
    shift = sample - logit
    return -shift - 2 * softplus(-shift)


def std_logit(std: float) -> float:
    """The value that `bounded_std` maps to `std`, which lies in (0, 2)."""
    return math.log(std / (2 - std))


def bounded_std(logit: Tensor) -> Tensor:
    """A standard deviation in (0, 2) for any real number; 1 for 0."""
    return 2 * logit.clamp(-10, 10).sigmoid()
