import torch
from torch import Tensor

from silot_gym.model.selection import select
from silot_gym.objects import Objects


def objects(presence: list[list[float]], ids: list[list[int]]) -> Objects:
    shape = len(presence), len(presence[0])
    place = torch.tensor(ids).float()[..., None].expand(*shape, 2)
    return Objects(
        position=place,
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
    result = select(old, new)
    assert chosen(result) == [0, 10, 2, 12]
    torch.testing.assert_close(result.presence, torch.tensor([[0.9, 0.3, 0.8, 0.95]]))


def test_ties_go_to_the_propagated() -> None:
    old, new = objects([[0.5, 0.5]], [[0, 1]]), objects([[0.5, 0.5, 0.5]], [[10, 11, 12]])
    assert chosen(select(old, new)) == [0, 1]


def test_all_empty_slots_are_filled_by_the_most_present() -> None:
    old, new = objects([[0.0, 0.0]], [[-1, -1]]), objects([[0.2, 0.9, 0.7]], [[10, 11, 12]])
    assert chosen(select(old, new)) == [11, 12]


def test_fewer_cells_than_slots_leave_slots_as_they_were() -> None:
    old, new = objects([[0.0, 0.4, 0.0]], [[-1, 1, -1]]), objects([[0.6]], [[10]])
    assert chosen(select(old, new)) == [10, 1, -1] or chosen(select(old, new)) == [-1, 1, 10]
    assert select(old, new).presence.sum().item() == torch.tensor([0.4, 0.6]).sum().item()


def test_it_keeps_the_k_most_present_of_random_pools_and_their_gradients() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        old, new = _random(5), _random(9)
        result = select(old, new)
        pool = torch.cat([old.presence, new.presence], 1)
        expected = pool.topk(5, dim=1).values.sort(1).values
        torch.testing.assert_close(result.presence.sort(1).values, expected)
        kept = torch.isclose(result.presence[..., None], old.presence[:, None]).any(-1)
        same = torch.isclose(result.presence, old.presence)
        assert torch.equal(kept, same), "a survivor changed its slot"
    old.presence.requires_grad_()
    select(old, new).presence.sum().backward()
    assert isinstance(old.presence.grad, Tensor)
    assert old.presence.grad.sum() > 0


def _random(count: int) -> Objects:
    ids = torch.arange(count).repeat(3, 1)
    return objects(torch.rand(3, count).tolist(), ids.tolist())
