"""The evidence lower bound that SILOT is trained on (sections 3.7 and 3.8 of the paper)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from silot_gym.model import SILOT, ModelConfig, StepOutput
from silot_gym.model.latents import (
    NOT_FROZEN,
    Frozen,
    Latents,
    logistic_kl,
    normal_kl,
    side_by_side,
)
from silot_gym.objects import Objects
from silot_gym.training.count_prior import CountPrior, presence_prior


class ELBO(nn.Module):
    """The negative evidence lower bound of clips, in nats a clip.

    Its terms:

    - `reconstruction`: -log g(x | z), Bernoulli in each channel of each pixel;
    - `discovery`: KL of where, what and depth of discovered objects from their static prior;
    - `propagation`: the same for the changes of propagated objects;
    - `propagation_prior`: the same from the learned prior, with presence;
    - `count`: KL of presence from the count prior, over propagated and discovered objects.

    The paper's "even mixture" of static and learned prior is the sum of both divergences.

    Attributes:
        count_prior: its log-odds change in the course of training.
    """

    def __init__(self, model: SILOT, compact: bool = True) -> None:
        """The loss of a model.

        Args:
            model: what is trained.
            compact: whether empty slots are left out. Shapes then depend on the data, and on a GPU
                the host waits for them.
        """
        super().__init__()
        self.model = model
        self.compact = compact
        priors = _static_priors(model.config)
        for name, value in priors.items():
            self.register_buffer(name, value, persistent=False)
        self.count_prior = CountPrior()

    def forward(
        self,
        video: Tensor,
        *,
        discover: Sequence[bool] | None = None,
        frozen: Frozen = NOT_FROZEN,
        **previous: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """The loss of clips, averaged over the batch, and its terms (detached).

        Args:
            video: (B, T, 3, height, width) in [0, 1].
            discover: for each frame, whether objects are looked for; by default in all. One
                choice for the whole batch, so that a frame without discovery costs nothing.
            frozen: see `SILOT.step`.
            previous: attributes of the objects of the frame before, by the names of `Objects`; none
                if the clips begin here. (Fabric looks into arguments, and takes no frozen
                dataclass.)

        Returns:
            The loss; its terms, with `objects`, the mean number of objects in a frame; attributes
            of the objects of the last frame, detached.
        """
        terms = dict.fromkeys(
            ("reconstruction", "discovery", "propagation", "propagation_prior", "count"),
            video.new_zeros(()),
        )
        objects = Objects(**previous) if previous else self.model.empty_objects(len(video))
        tracked: list[Objects] = []
        for t, frame in enumerate(video.unbind(1)):
            output = self.model.step(
                frame,
                objects,
                active=self.model.active_slots(objects) if self.compact else None,
                discover=discover is None or discover[t],
                frozen=frozen,
            )
            static, learned = self._propagation(output)
            terms["discovery"] = terms["discovery"] + self._discovery(output)
            terms["propagation"] = terms["propagation"] + static
            terms["propagation_prior"] = terms["propagation_prior"] + learned
            terms["count"] = terms["count"] + self._count(output)
            objects = output.objects
            tracked.append(objects)

        # All frames are rendered together, (T * B, ...).
        image = self.model.downsample(video.transpose(0, 1).flatten(0, 1))
        shown = Objects.concatenate(tracked)
        if self.compact:
            shown = shown.take(self.model.active_slots(shown))
        rendered = self.model.renderer(shown, *image.shape[-2:])
        terms["reconstruction"] = -bernoulli_log_likelihood(image, rendered)
        terms = {name: value / len(video) for name, value in terms.items()}
        loss = torch.stack(list(terms.values())).sum()
        present = torch.stack([o.presence.round().sum(1).mean() for o in tracked]).mean()
        terms = {name: value.detach() for name, value in {**terms, "objects": present}.items()}
        return loss, terms, vars(tracked[-1].map(Tensor.detach))

    def _discovery(self, output: StepOutput) -> Tensor:
        """Divergence of the discovered objects from the static prior."""
        if output.discovered is None or output.discovered_latents is None:
            return output.objects.presence.new_zeros(())
        mean, std = self.get_buffer("discovery_mean"), self.get_buffer("discovery_std")
        return _weighted_kl(output.discovered_latents, output.discovered.presence, mean, std)

    def _propagation(self, output: StepOutput) -> tuple[Tensor, Tensor]:
        """Divergence of the propagated objects from the static and from the learned prior."""
        latents, presence = output.propagated_latents, output.propagated.presence
        mean, std = self.get_buffer("propagation_mean"), self.get_buffer("propagation_std")
        static = _weighted_kl(latents, presence, mean, std)
        _, expected = self.model.propagation_prior(output.previous)
        learned = _weighted_kl(latents, presence, expected.mean, expected.std)
        stays = logistic_kl(latents.presence_logit, expected.presence_logit)
        return static, learned + (stays * output.previous.presence).sum()

    def _count(self, output: StepOutput) -> Tensor:
        """KL from the count prior: the propagated objects first, then the cells row by row.

        There could be an object in each slot and each cell. One that was not there before has
        nothing to decide: it has no place among the propagated ones, and counts for nothing.
        """
        presence, weight = output.propagated.presence, output.previous.presence  # (B, N)
        logit = output.propagated_latents.presence_logit
        place = ((weight > 0).cumsum(1) - 1).clamp(min=0)
        count = output.objects.presence.shape[1]
        if output.discovered is not None and output.discovered_latents is not None:
            found = output.discovered_latents.presence_logit  # (B, C)
            presence = torch.cat([presence, output.discovered.presence], 1)
            logit = torch.cat([logit, found], 1)
            weight = torch.cat([weight, torch.ones_like(found)], 1)
            cells = count + torch.arange(found.shape[1], device=found.device)
            place = torch.cat([place, cells.expand(found.shape)], 1)
            count += found.shape[1]
        table = self.count_prior.table(count, presence.device)
        prior = presence_prior(presence.detach() > 0.5, table, place)
        return (logistic_kl(logit, prior) * weight).sum()


def _static_priors(config: ModelConfig) -> dict[str, Tensor]:
    """Means and standard deviations, in the order of `Latents`."""
    size = (torch.tensor(config.expected_size) / torch.tensor(config.anchor_size)).logit()
    size_std = torch.full((2,), config.size_prior_std)
    pair, what, one = torch.ones(2), torch.ones(config.what_dim), torch.ones(1)
    mean = side_by_side(torch.cat([0 * pair, size]), 0 * what, 0 * one)
    shift, change = config.shift_prior_std * pair, config.what_change_prior_std * what
    return {
        "discovery_mean": mean,
        "discovery_std": side_by_side(torch.cat([pair, size_std]), what, one),
        "propagation_mean": mean,
        "propagation_std": side_by_side(torch.cat([shift, size_std]), change, one),
    }


def _weighted_kl(latents: Latents, presence: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """KL of the Gaussian latents, counted as far as the object is present."""
    return (normal_kl(latents.mean, latents.std, mean, std).sum(-1) * presence).sum()


def bernoulli_log_likelihood(frame: Tensor, reconstruction: Tensor) -> Tensor:
    """Sum over all pixels and channels of x log p + (1 - x) log(1 - p), in nats."""
    tiny = 1e-9
    on = frame * (reconstruction + tiny).log()
    off = (1 - frame) * (1 - reconstruction + tiny).log()
    return (on + off).sum()
