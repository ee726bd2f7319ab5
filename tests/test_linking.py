import itertools

import numpy as np
import pytest
import torch

from silot_gym.linking import closest_pairs, resume_lost
from silot_gym.objects import Objects


def at(places, ids, presence=None):
    """One lane of objects at (x, 0), each with its x as appearance."""
    x = torch.tensor([places], dtype=torch.float32)
    objects = Objects.empty(1, len(places), 1, 1, torch.device("cpu"))
    there = torch.ones_like(x) if presence is None else torch.tensor([presence])
    return Objects(
        position=torch.stack([x, torch.zeros_like(x)], -1),
        anchor=objects.anchor,
        size_logit=objects.size_logit,
        what=x[..., None],
        depth_logit=objects.depth_logit,
        presence=there,
        hidden=objects.hidden,
        track_id=torch.tensor([ids]),
    )


def flags(*slots, of):
    return torch.tensor([[slot in slots for slot in range(of)]])


@pytest.mark.parametrize("most", [np.inf, 0.5])
def test_pairs_are_those_of_all_assignments_that_cost_least(most):
    distances = np.random.default_rng(0).random((4, 5))
    distances[2, 3] = np.inf
    rows, columns = closest_pairs(distances, most)

    def cost(order):  # unpaired ones cost more than all that could be saved
        chosen = distances[range(4), order]
        return np.where(chosen <= most, chosen, 100).clip(max=100).sum()

    best = min(itertools.permutations(range(5), 4), key=cost)
    allowed = [i for i in range(4) if distances[i, best[i]] <= most]
    assert rows.tolist() == allowed
    assert columns.tolist() == [best[i] for i in allowed]


def test_a_jump_keeps_slot_and_id_and_what_is_left_behind_loses_them():
    last = at([10, 50, 0], [7, 8, -1], [0.9, 0.9, 0.0])
    now = at([12, 50, 35], [7, 8, -1], [0.2, 0.9, 0.9])
    result, slots = resume_lost(now, last, flags(0, of=3), flags(2, of=3), 30)
    assert result.what[0, :, 0].tolist() == [35, 50, 12]
    assert slots.tolist() == [[2, 1, 0]]
    assert result.track_id[0].tolist() == [7, 8, -1]
    assert result.presence[0].tolist() == pytest.approx([0.9, 0.9, 0.2])


def test_what_is_found_too_far_away_is_another_object():
    last, now = at([10, 0], [7, -1], [0.9, 0.0]), at([10, 41], [7, -1], [0.2, 0.9])
    result, _ = resume_lost(now, last, flags(0, of=2), flags(1, of=2), 30)
    for name, value in vars(now).items():
        torch.testing.assert_close(getattr(result, name), value)


def test_slots_that_newcomers_have_taken_over_are_sorted_out():
    """Two are lost, and each one's slot is taken by what the other has become."""
    last, now = at([10, 50], [7, 8]), at([52, 13], [-1, -1])
    result, _ = resume_lost(now, last, flags(0, 1, of=2), flags(0, 1, of=2), 30)
    assert result.what[0, :, 0].tolist() == [13, 52]
    assert result.track_id[0].tolist() == [7, 8]
    assert (result.presence == 1).all()


def test_of_two_that_are_found_only_one_is_the_lost_one_and_the_other_keeps_its_place_or_gets_its():
    last, now = at([10, 0], [7, -1], [0.9, 0.0]), at([30, 14], [-1, -1])
    result, _ = resume_lost(now, last, flags(0, of=2), flags(0, 1, of=2), 30)
    assert result.what[0, :, 0].tolist() == [14, 30]
    assert result.track_id[0].tolist() == [7, -1]


def test_lanes_do_not_mix():
    last, now = at([10, 0], [7, -1], [0.9, 0.0]), at([10, 20], [7, -1], [0.2, 0.9])
    both = Objects.concatenate([now, now])
    lost = torch.cat([flags(0, of=2), flags(of=2)])
    found = torch.cat([flags(of=2), flags(1, of=2)])
    result, _ = resume_lost(both, Objects.concatenate([last, last]), lost, found, 30)
    torch.testing.assert_close(result.track_id, both.track_id)
    torch.testing.assert_close(result.what, both.what)
