import math
from dataclasses import replace
from itertools import product
from math import comb
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from silot_gym.model import SILOT, ModelConfig, StepOutput
from silot_gym.model.latents import Frozen, Latents
from silot_gym.play.config import PlayConfig
from silot_gym.play.step import PlayStep
from silot_gym.training.elbo import ELBO, bernoulli_log_likelihood
from tests.tiny import TINY

SMALL = replace(
    TINY,
    num_slots=9,
    glimpse_size=8,
    hidden_dim=16,
    encoder_dims=(64,),
    decoder_dims=(64,),
    object_attention=True,
)


def make_elbo(config: ModelConfig = SMALL) -> ELBO:
    torch.manual_seed(0)
    return ELBO(SILOT(config))


def test_the_loss_is_the_sum_of_its_terms() -> None:
    torch.manual_seed(1)
    loss, terms, _ = make_elbo()(torch.rand(2, 3, 3, 36, 36))
    parts = sum(value for name, value in terms.items() if name != "objects")
    torch.testing.assert_close(loss.detach(), parts)
    assert all(value.isfinite() for value in terms.values())


def test_gradients_reach_every_parameter() -> None:
    elbo = make_elbo()
    torch.manual_seed(1)
    loss, _, _ = elbo(torch.rand(4, 4, 3, 36, 36))
    loss.backward()
    unreached = [
        name
        for name, parameter in elbo.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not unreached


def test_while_presence_is_frozen_all_objects_are_there_and_only_presence_does_not_learn() -> None:
    elbo = make_elbo()
    loss, terms, last = elbo(torch.rand(4, 2, 3, 36, 36), frozen=Frozen(presence=True, stay=True))
    loss.backward()
    heads = [elbo.model.discovery.presence_head, elbo.model.propagation.presence_head]
    assert not any(p.grad is not None and p.grad.any() for head in heads for p in head.parameters())
    assert elbo.model.discovery.where_head[0].weight.grad.any()
    assert terms["objects"] > 0.8 * last["presence"].shape[1]


def test_while_sizes_are_frozen_boxes_stay_as_they_start_and_sizes_do_not_learn() -> None:
    elbo = make_elbo()
    elbo.count_prior.set(9.0)
    loss, _, last = elbo(torch.rand(4, 2, 3, 36, 36), frozen=Frozen(size=True))
    loss.backward()
    config = elbo.model.config
    start = (torch.tensor(config.initial_size) / torch.tensor(config.anchor_size)).logit()
    there = last["presence"] > 0.01
    off = last["size_logit"][there] - start
    assert off.abs().mean() < 2 * config.initial_std  # noise of two frames
    for head in (elbo.model.discovery.where_head, elbo.model.propagation.where_head):
        grad = head[-1].weight.grad
        assert grad[:2].any() and not grad[2:4].any()


def test_a_clip_in_two_parts_has_the_loss_of_the_whole() -> None:
    elbo = make_elbo().eval()
    video = torch.rand(2, 4, 3, 36, 36)
    whole, _, end = elbo(video)
    first, _, middle = elbo(video[:, :2])
    second, _, same_end = elbo(video[:, 2:], **middle)
    torch.testing.assert_close(first + second, whole)
    assert not any(value.requires_grad for value in middle.values())
    for name, value in end.items():
        torch.testing.assert_close(same_end[name], value)


def test_the_likelihood_is_that_of_bernoulli_pixels() -> None:
    frame, mean = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    expected = -torch.nn.functional.binary_cross_entropy(mean, frame, reduction="sum")
    torch.testing.assert_close(bernoulli_log_likelihood(frame, mean), expected)


def test_a_clip_without_discovery_after_its_first_frame_has_less_divergence() -> None:
    elbo = make_elbo().eval()
    video = torch.rand(2, 4, 3, 36, 36)
    with torch.no_grad():
        _, always, _ = elbo(video)
        _, never, _ = elbo(video, discover=[True, False, False, False])
        _, first, _ = elbo(video[:, :1])
    torch.testing.assert_close(never["discovery"], first["discovery"])
    assert always["discovery"] > never["discovery"]


def test_the_count_prior_is_asked_in_the_order_of_slots_and_cells() -> None:
    """Three slots and two cells; the second slot is empty. With s = 1/2, P(c) is 2^-c / Z."""
    elbo = make_elbo(replace(SMALL, num_slots=3))
    elbo.count_prior.set(0.0)
    before, found = elbo.model.empty_objects(1, 3), elbo.model.empty_objects(1, 2)
    before = replace(before, presence=torch.tensor([[1.0, 0.0, 0.5]]))
    now = replace(before, presence=torch.tensor([[0.9, 0.0, 0.2]]))  # the first stays, one is gone
    found = replace(found, presence=torch.tensor([[0.8, 0.1]]))
    stays, is_there = torch.tensor([[2.0, -5.0, -1.0]]), torch.tensor([[3.0, -2.0]])
    nothing = torch.zeros(1, 5, 0)
    output = StepOutput(
        objects=now,
        previous=before,
        propagated=now,
        propagated_latents=Latents(nothing, nothing, stays),
        discovered=found,
        discovered_latents=Latents(nothing, nothing, is_there),
    )

    def chance(*drawn: int) -> float:
        """That the next of five is present, given those drawn so far: by counting subsets."""
        weight = [
            sum(
                0.5 ** sum(subset) / comb(5, sum(subset))
                for subset in product((0, 1), repeat=5)
                if subset[: len(drawn) + 1] == (*drawn, last)
            )
            for last in (0, 1)
        ]
        return weight[1] / sum(weight)

    # Places of the two objects are the first two; those of the cells come after all three slots.
    # What is in no object's place is as if it had been drawn absent.
    decisions = [
        (2.0, chance(), 1.0),
        (-1.0, chance(1), 0.5),
        (3.0, chance(1, 0, 0), 1.0),
        (-2.0, chance(1, 0, 0, 1), 1.0),
    ]
    expected = 0.0
    for logit, probability, weight in decisions:
        prior = math.log(probability / (1 - probability))
        distance = abs(logit - prior)
        expected += weight * (distance / math.tanh(distance / 2) - 2)
    assert elbo._count(output).item() == pytest.approx(expected, rel=1e-5)


def test_leaving_out_empty_slots_changes_no_term() -> None:
    elbo = make_elbo().eval()
    elbo.count_prior.set(-2.0)
    video = torch.rand(3, 4, 3, 36, 36)
    discover = [True, False, True, False]
    with torch.no_grad():
        compact, terms, _ = elbo(video, discover=discover)
        elbo.compact = False
        full, same, _ = elbo(video, discover=discover)
    torch.testing.assert_close(compact, full)
    for name, value in terms.items():
        torch.testing.assert_close(same[name], value)


@pytest.mark.slow
def test_it_learns_one_clip_of_two_moving_squares() -> None:
    elbo = make_elbo(replace(SMALL, anchor_size=(24.0, 24.0), glimpse_size=12))
    video = torch.zeros(1, 4, 3, 36, 36)
    for t in range(4):
        video[0, t, 0, 4:12, 3 + t : 11 + t] = 1
        video[0, t, 1:, 22:30, 24 - t : 32 - t] = 1
    batch = video.expand(8, -1, -1, -1, -1)
    optimizer = torch.optim.Adam(elbo.parameters(), 2e-3)
    for step in range(600):
        torch.manual_seed(step)
        elbo.count_prior.set(max(-4.38, 10 - step / 20))
        discover = [True, *(torch.rand(3) >= 0.5).tolist()]
        early = step < 50
        loss, _, _ = elbo(batch, discover=discover, frozen=Frozen(early, early))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(elbo.parameters(), 10)
        optimizer.step()
    model = elbo.model.eval()
    play, objects, tracked = PlayStep(model, PlayConfig()), model.empty_objects(1), []
    for t, frame in enumerate(video.unbind(1)):
        with torch.inference_mode():
            objects, fitted = play(frame, frame.amax(1) > 0, objects)
            rebuilt = model.render(objects, 36, 36)
        tracked.append(objects)
        assert (rebuilt - frame).abs().mean() < 0.02
        present = objects.presence[0] > 0.5
        assert present.sum() == 2
        boxes = fitted[0, present]
        upper_first = boxes[boxes[:, 1].argsort()]
        expected = torch.tensor([[3.0 + t, 4, 11 + t, 12], [24.0 - t, 22, 32 - t, 30]])
        # However large a black margin they have.
        torch.testing.assert_close(upper_first, expected, atol=1.5, rtol=0)
    slots = [set((o.presence[0] > 0.5).nonzero().flatten().tolist()) for o in tracked]
    assert all(s == slots[0] for s in slots)


class _NothingFromTheHost(TorchFunctionMode):
    """Refuses tensors that are made from numbers, each of which a GPU would have to wait for."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        assert function not in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
        return function(*args, **(kwargs or {}))


class _NothingOnTheHost(TorchDispatchMode):
    """Refuses work on tensors of the CPU."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        assert all(leaf.device.type == "meta" for leaf in leaves), function
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("config", [SMALL, TINY, replace(SMALL, scales=(1, 2), pixel_size=2)])
@pytest.mark.parametrize("frozen", [Frozen(), Frozen(True, True, True)])
def test_on_a_device_a_step_asks_the_host_for_nothing(config: ModelConfig, frozen: Frozen) -> None:
    """The device is one without values: it fails where any of them would be read."""
    elbo = make_elbo(config).to("meta")
    elbo.compact = False
    video = torch.rand(2, 3, 3, 48, 48, device="meta")
    discover = [True, False, True]
    _, _, last = elbo(video, discover=discover)  # tables of the count prior are made once
    elbo.count_prior.set(-3.0)
    with _NothingFromTheHost(), _NothingOnTheHost():
        loss, _, _ = elbo(video, **last, discover=discover, frozen=frozen)
        loss.backward()
        first, _, _ = elbo(video, discover=discover, frozen=frozen)
        first.backward()
