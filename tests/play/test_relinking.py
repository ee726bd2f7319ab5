import pytest
import torch

from silot_gym.objects import Objects
from silot_gym.play.relinking import relink


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


def test_a_jump_keeps_slot_and_id_and_what_is_left_behind_loses_them():
    last = at([10, 50, 0], [7, 8, -1], [0.9, 0.9, 0.0])
    now = at([12, 50, 35], [7, 8, -1], [0.2, 0.9, 0.9])
    result, slots = relink(now, last, 0.5, 30)
    assert result.what[0, :, 0].tolist() == [35, 50, 12]
    assert slots.tolist() == [[2, 1, 0]]
    assert result.track_id[0].tolist() == [7, 8, -1]
    assert result.presence[0].tolist() == pytest.approx([0.9, 0.9, 0.2])


def test_what_is_found_too_far_away_is_another_object():
    last, now = at([10, 0], [7, -1], [0.9, 0.0]), at([10, 41], [7, -1], [0.2, 0.9])
    result, _ = relink(now, last, 0.5, 30)
    for name, value in vars(now).items():
        torch.testing.assert_close(getattr(result, name), value)


def test_slots_that_newcomers_have_taken_over_are_sorted_out():
    """Two are lost, and each one's slot is taken by what the other has become."""
    last, now = at([10, 50], [7, 8]), at([52, 13], [-1, -1])
    result, _ = relink(now, last, 0.5, 30)
    assert result.what[0, :, 0].tolist() == [13, 52]
    assert result.track_id[0].tolist() == [7, 8]
    assert (result.presence == 1).all()


def test_of_two_that_are_found_only_one_is_the_lost_one_and_the_other_keeps_its_place_or_gets_its():
    last, now = at([10, 0], [7, -1], [0.9, 0.0]), at([30, 14], [-1, -1])
    result, _ = relink(now, last, 0.5, 30)
    assert result.what[0, :, 0].tolist() == [14, 30]
    assert result.track_id[0].tolist() == [7, -1]


def test_lanes_do_not_mix():
    """In one lane an object is lost, in the other one is found."""
    last = Objects.concatenate([at([10, 0], [7, -1], [0.9, 0.0]), at([0, 0], [-1, -1], [0.0, 0.0])])
    now = Objects.concatenate([at([10, 0], [7, -1], [0.2, 0.0]), at([0, 12], [-1, -1], [0.0, 0.9])])
    result, _ = relink(now, last, 0.5, 30)
    torch.testing.assert_close(result.track_id, now.track_id)
    torch.testing.assert_close(result.what, now.what)
