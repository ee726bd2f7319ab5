from dataclasses import replace

import pytest
import torch
from torch import Tensor

from silot_gym.evaluation.tracks import iou
from silot_gym.model.selection import select
from silot_gym.objects import Objects

ANCHOR = 0.5  # pixels: no boxes overlap but those of the tests that are about it


def objects(presence: list[list[float]], ids: list[list[int]]) -> Objects:
    shape = len(presence), len(presence[0])
    place = torch.tensor(ids).float()[..., None].expand(*shape, 2)
    return Objects(
        position=place,
        anchor=torch.full((*shape, 2), ANCHOR),
        size_logit=place,
        what=place,
        depth_logit=place[..., 0],
        presence=torch.tensor(presence),
        hidden=place,
        track_id=torch.tensor(ids),
    )


def chosen(result: Objects) -> list[int]:
    return [int(x) for x in result.position[0, :, 0]]


def test_survivors_keep_their_slots_and_newcomers_fill_the_rest_in_order_of_their_cells() -> None:
    old = objects([[0.9, 0.1, 0.8, 0.2]], [[0, 1, 2, 3]])
    new = objects([[0.3, 0.0, 0.95]], [[10, 11, 12]])
    result = select(old, new, 0.5)[0]
    assert chosen(result) == [0, 10, 2, 12]
    torch.testing.assert_close(result.presence, torch.tensor([[0.9, 0.3, 0.8, 0.95]]))


def test_ties_go_to_the_propagated() -> None:
    old, new = objects([[0.5, 0.5]], [[0, 1]]), objects([[0.5, 0.5, 0.5]], [[10, 11, 12]])
    assert chosen(select(old, new, 0.5)[0]) == [0, 1]


def test_all_empty_slots_are_filled_by_the_most_present() -> None:
    old, new = objects([[0.0, 0.0]], [[-1, -1]]), objects([[0.2, 0.9, 0.7]], [[10, 11, 12]])
    assert chosen(select(old, new, 0.5)[0]) == [11, 12]


def test_fewer_cells_than_slots_leave_slots_as_they_were() -> None:
    old, new = objects([[0.0, 0.4, 0.0]], [[-1, 1, -1]]), objects([[0.6]], [[10]])
    assert chosen(select(old, new, 0.5)[0]) == [10, 1, -1] or chosen(select(old, new, 0.5)[0]) == [
        -1,
        1,
        10,
    ]
    assert select(old, new, 0.5)[0].presence.sum().item() == torch.tensor([0.4, 0.6]).sum().item()


def test_it_keeps_the_k_most_present_of_random_pools_and_their_gradients() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        old, new = _random(5), _random(9, first_id=20)
        result, row = select(old, new, 0.5)
        pool = torch.cat([old.presence, new.presence], 1)
        torch.testing.assert_close(result.presence, pool.gather(1, row))
        expected = pool.topk(5, dim=1).values.sort(1).values
        torch.testing.assert_close(result.presence.sort(1).values, expected)
        kept = torch.isclose(result.presence[..., None], old.presence[:, None]).any(-1)
        same = torch.isclose(result.presence, old.presence)
        assert torch.equal(kept, same), "a survivor changed its slot"
    old.presence.requires_grad_()
    select(old, new, 0.5)[0].presence.sum().backward()
    assert isinstance(old.presence.grad, Tensor)
    assert old.presence.grad.sum() > 0


def test_of_discovered_objects_in_one_place_only_the_most_present_is_taken() -> None:
    old = objects([[0.0] * 4], [[-1] * 4])
    new = objects([[0.6, 0.9, 0.7, 0.7]], [[10, 10, 11, 11]])
    result = select(old, new, 0.5)[0]
    assert sorted(result.presence[0].tolist()) == pytest.approx([0, 0, 0.7, 0.9])


def test_tracked_objects_may_meet_and_hold_their_place_against_less_present_newcomers() -> None:
    old = objects([[0.8, 0.7, 0.3, 0.0]], [[5, 5, 6, 7]])
    new = objects([[0.75, 0.6, 0.5]], [[5, 6, 7]])
    result = select(old, new, 0.5)[0]
    assert sorted(zip(chosen(result), result.presence[0].tolist(), strict=True)) == [
        (5, pytest.approx(0.7)),
        (5, pytest.approx(0.8)),
        (6, pytest.approx(0.6)),
        (7, pytest.approx(0.5)),
    ]


@pytest.mark.parametrize("nms_iou", [0.5, 0.2])
def test_boxes_are_the_same_from_some_intersection_over_union_on(nms_iou: float) -> None:
    torch.manual_seed(0)
    place, size_logit = 10 * torch.rand(1, 40, 2), torch.randn(1, 40, 2)
    new = replace(
        objects([torch.rand(40).tolist()], [list(range(40))]),
        position=place,
        anchor=torch.full((1, 40, 2), 10.0),
        size_logit=size_logit,
    )
    result = select(objects([[0.0] * 40], [[-1] * 40]), new, nms_iou)[0]
    size = 10 * size_logit.sigmoid()
    boxes = torch.cat([place - size / 2, place + size / 2], -1)[0]
    overlap, presence = iou(boxes, boxes), new.presence[0].numpy()
    suppressed = ((overlap > nms_iou) & (presence > presence[:, None])).any(1)
    assert 3 < suppressed.sum() < 37
    kept = sorted(presence[~suppressed].tolist())
    assert sorted(p for p in result.presence[0].tolist() if p > 0) == pytest.approx(kept)


def _random(count: int, first_id: int = 0) -> Objects:
    ids = torch.arange(first_id, first_id + count).repeat(3, 1)
    return objects(torch.rand(3, count).tolist(), ids.tolist())
