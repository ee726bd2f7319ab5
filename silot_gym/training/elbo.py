"""The evidence lower bound that SILOT is trained on (sections 3.7 and 3.8 of the paper)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from silot_gym.model.latents import Latents, logistic_log_density, normal_kl
from silot_gym.model.silot import SILOT, StepOutput
from silot_gym.objects import Objects
from silot_gym.training.count_prior import presence_kl, presence_table


@dataclass(frozen=True)
class Loss:
    """Terms of the negative evidence lower bound, nats a clip, averaged over the batch.

    Attributes:
        reconstruction: -log g(x | z), Bernoulli in each channel of each pixel.
        discovery: KL of where, what and depth of discovered objects from their prior.
        propagation: the same for propagated objects.
        propagation_prior: the same from the learned prior, with presence.
        count: KL of presence from the count prior.
        objects: mean number of objects present in a frame; not a part of the loss.
        video: (B, T, 3, height, width) reconstruction, detached.
        tracked: the objects of each frame.
    """

    reconstruction: Tensor
    discovery: Tensor
    propagation: Tensor
    propagation_prior: Tensor
    count: Tensor
    objects: Tensor
    video: Tensor
    tracked: list[Objects]

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return (
            self.reconstruction
            + self.discovery
            + self.propagation
            + self.propagation_prior
            + self.count
        )

    def scalars(self) -> dict[str, float]:
        """The terms by name, as numbers."""
        names = ("reconstruction", "discovery", "propagation", "propagation_prior", "count")
        values = torch.stack([self.total, self.objects, *(getattr(self, n) for n in names)])
        return dict(zip(("total", "objects", *names), values.tolist(), strict=True))


class ELBO:
    """The bound for one model: its static priors, and the sum of its terms over a clip."""

    def __init__(self, model: SILOT) -> None:
        self.model = model
        config, device = model.config, model.discovery.initial_hidden.device
        what = config.what_dim

        def prior(*parts: tuple[int, float]) -> Tensor:
            return torch.cat([torch.full((n,), value, device=device) for n, value in parts])

        # Side by side as in `Latents`: position, size, appearance, depth.
        size_mean, size_std = config.size_prior_mean, config.size_prior_std
        self.discovery_mean = prior((2, 0), (2, size_mean), (what + 1, 0))
        self.discovery_std = prior((2, 1), (2, size_std), (what + 1, 1))
        self.propagation_mean = self.discovery_mean
        self.propagation_std = prior(
            (2, config.shift_prior_std),
            (2, size_std),
            (what, config.what_change_prior_std),
            (1, 1),
        )

    def __call__(
        self,
        video: Tensor,
        *,
        count_log_odds: float,
        discovery_dropout: float = 0.0,
        training_wheels: float = 0.0,
    ) -> Loss:
        """The loss of clips (B, T, 3, height, width) in [0, 1].

        Args:
            video: the clips.
            count_log_odds: log-odds of the count prior's s.
            discovery_dropout: probability that a frame after the first goes without discovery.
                Drawn for the whole batch, so that a dropped frame costs nothing.
            training_wheels: see `SILOT.step`.
        """
        zero = video.new_zeros(())
        discovery, propagation, learned, count = zero, zero, zero, zero
        last: Objects | None = None
        tracked: list[Objects] = []
        for t, frame in enumerate(video.unbind(1)):
            discover = t == 0 or float(torch.rand(())) >= discovery_dropout
            output = self.model.step(
                frame, last, discover=discover, training_wheels=training_wheels
            )
            if output.discovered is not None and output.discovered_latents is not None:
                discovery = discovery + _weighted_kl(
                    output.discovered_latents,
                    output.discovered.presence,
                    self.discovery_mean,
                    self.discovery_std,
                )
            if last is not None and output.propagated_latents is not None:
                latents, presence = output.propagated_latents, output.propagated.presence
                propagation = propagation + _weighted_kl(
                    latents, presence, self.propagation_mean, self.propagation_std
                )
                _, expected = self.model.propagation_prior(last)
                learned = learned + _weighted_kl(latents, presence, expected.mean, expected.std)
                learned = learned + _presence_divergence(latents, expected, last.presence)
            count = count + self._count(output, last, count_log_odds)
            last = output.objects
            tracked.append(last)

        pixels = video.flatten(0, 1)
        together = tracked[0].map(lambda _: _) if len(tracked) == 1 else _concatenate(tracked)
        rendered = self.model.render(together, *video.shape[-2:])
        rendered = rendered.unflatten(0, (video.shape[1], -1)).transpose(0, 1).flatten(0, 1)
        likelihood = bernoulli_log_likelihood(pixels, rendered)
        clips = len(video)
        present = torch.stack([o.presence.detach().round().sum(1).mean() for o in tracked])
        return Loss(
            reconstruction=-likelihood / clips,
            discovery=discovery / clips,
            propagation=propagation / clips,
            propagation_prior=learned / clips,
            count=count / clips,
            objects=present.mean(),
            video=rendered.detach().view_as(video),
            tracked=tracked,
        )

    def _count(self, output: StepOutput, last: Objects | None, log_odds: float) -> Tensor:
        """KL from the count prior, on the union of propagated and discovered objects."""
        propagated = output.propagated
        probability = torch.zeros_like(propagated.presence)
        if last is not None and output.propagated_latents is not None:
            probability = last.presence * output.propagated_latents.presence_logit.sigmoid()
        presence = propagated.presence
        if output.discovered is not None and output.discovered_latents is not None:
            discovered = output.discovered_latents.presence_logit.sigmoid()
            probability = torch.cat([probability, discovered], 1)
            presence = torch.cat([presence, output.discovered.presence], 1)
        table = presence_table(presence.shape[1], log_odds).to(presence.device)
        return presence_kl(probability, presence.detach() > 0.5, table).sum()


def _concatenate(objects: list[Objects]) -> Objects:
    """Objects of T frames, (T * B, K)."""
    return Objects(*(torch.cat(values) for values in zip(*map(_values, objects), strict=True)))


def _values(objects: Objects) -> tuple[Tensor, ...]:
    return tuple(vars(objects).values())


def _weighted_kl(latents: Latents, presence: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """KL of the Gaussian latents, counted as far as the object is present."""
    return (normal_kl(latents.mean, latents.std, mean, std).sum(-1) * presence).sum()


def _presence_divergence(latents: Latents, prior: Latents, last_presence: Tensor) -> Tensor:
    """One-sample estimate of the KL of staying present, for objects that were present."""
    sample = latents.presence_sample
    posterior = logistic_log_density(sample, latents.presence_logit)
    return ((posterior - logistic_log_density(sample, prior.presence_logit)) * last_presence).sum()


def bernoulli_log_likelihood(frame: Tensor, reconstruction: Tensor) -> Tensor:
    """Sum over all pixels and channels of x log p + (1 - x) log(1 - p), in nats."""
    tiny = 1e-9
    on = frame * (reconstruction + tiny).log()
    off = (1 - frame) * (1 - reconstruction + tiny).log()
    return (on + off).sum()
