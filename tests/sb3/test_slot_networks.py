"""Networks that read slots as sets care neither for their order nor for empty ones."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from silot_gym.sb3 import DeepSetExtractor, SlotAttentionExtractor

SLOTS, WIDTH = 5, 7
SPACE = Box(-1, 1, (SLOTS, WIDTH), np.float32)

both = pytest.mark.parametrize("kind", [DeepSetExtractor, SlotAttentionExtractor])


def make(kind):
    torch.manual_seed(0)
    return kind(SPACE, width=8)


@pytest.fixture
def slots():
    """(2, K, D) with two and three objects in the first slots."""
    slots = torch.rand(2, SLOTS, WIDTH, generator=torch.Generator().manual_seed(1)) * 2 - 1
    slots[..., 0] = torch.tensor([[0.9, 0.5, 0, 0, 0], [1, 0.4, 0.7, 0, 0]])
    return slots * (slots[..., :1] > 0)


@both
def test_features_have_their_size_and_depend_on_the_objects(kind, slots):
    network = make(kind)
    features = network(slots)
    assert features.shape == (2, network.features_dim)
    for row in range(2):
        changed = slots.clone()
        changed[0, row, 3] += 0.5
        moved = (network(changed) - features).abs().amax(-1)
        assert moved[0] > 1e-4
        assert moved[1] < 1e-6


@both
def test_the_order_of_the_slots_makes_no_difference(kind, slots):
    network = make(kind)
    shuffled = slots[:, [3, 1, 4, 2, 0]]
    torch.testing.assert_close(network(shuffled), network(slots), atol=1e-6, rtol=1e-5)


@both
def test_what_is_in_empty_slots_makes_no_difference(kind, slots):
    network = make(kind)
    garbage = slots.clone()
    garbage[slots[..., 0] == 0] = 1e3
    garbage[..., 0] = slots[..., 0]
    torch.testing.assert_close(network(garbage), network(slots), atol=1e-6, rtol=1e-5)


@both
@pytest.mark.parametrize("training", [True, False])
def test_without_objects_features_are_finite(kind, training):
    network = make(kind).train(training)
    with torch.set_grad_enabled(training):
        features = network(torch.zeros(3, SLOTS, WIDTH))
    assert features.isfinite().all()


@both
def test_acting_and_learning_see_the_same_features(kind, slots):
    network = make(kind)
    learning = network(slots)
    with torch.no_grad():
        acting = network.eval()(slots)  # where torch takes a faster path
    torch.testing.assert_close(acting, learning, atol=1e-5, rtol=1e-4)


@both
def test_the_gradient_reaches_all_parameters(kind, slots):
    network = make(kind)
    (network(slots) ** 2).sum().backward()
    for name, parameter in network.named_parameters():
        if name.endswith("in_proj_bias"):
            continue  # that of the keys adds the same to all scores
        # Queries, keys and values are parts of one matrix.
        for part in parameter.grad.chunk(3 if name.endswith("in_proj_weight") else 1):
            assert part.abs().max() > 1e-8, name
