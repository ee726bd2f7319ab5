"""Selection: the K objects that are most surely present, each in a slot of its own."""

from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.model.graphs import graphed
from silot_gym.objects import Objects

_SAME_BOX, _SAME_BOX_IN_PLAY = 0.5, 0.2
"""Intersection over union from which on a discovered object's box is taken for another one's. In
training, boxes are too loose yet to tell by less."""
_SAME_PLACE = 0.5
"""And from which on what is drawn of two objects is taken for one thing."""
_PART, _SURE = 0.25, 0.5
"""Share of what is drawn of a discovered object from which on it is a part of a tracked one, whose
presence is at least the second number."""


@graphed
def select(propagated: Objects, discovered: Objects, in_play: bool = False) -> Objects:
    """The most present of the propagated and discovered objects (section 3.5 of the paper).

    A propagated object that is kept keeps its slot; the slots of the others are filled with
    discovered objects in the order of their cells. Ties go to the propagated.

    Several cells may claim one object. As in other detectors, of boxes that overlap much the most
    present stays: here no discovered object is taken whose box is that of another, more present
    one. Tracked objects may cross.

    Args:
        propagated: objects (B, K).
        discovered: objects (B, C).
        in_play: whether this is play, where little overlap is enough.

    Returns:
        Objects (B, K). Discovered ones have `track_id` -1.
    """
    presence = torch.cat([propagated.presence, discovered.presence], 1)
    boxes = torch.cat([propagated.boxes, discovered.boxes], 1)
    same_box = _SAME_BOX_IN_PLAY if in_play else _SAME_BOX
    slots = propagated.presence.shape[1]
    claimed = _claimed(boxes, presence, slots, same_box)
    discovered = replace(discovered, presence=discovered.presence.masked_fill(claimed, 0))
    source = _source(propagated.presence.detach(), discovered.presence.detach())
    return Objects.concatenate([propagated, discovered], 1).take(source)


@graphed
def give_up_duplicates(objects: Objects, boxes: Tensor) -> Objects:
    """The same objects, but absent are those that are where a more present one is.

    So are objects that were just discovered on a part of a tracked one: a boxer's arm.

    Args:
        objects: (B, K); those without a `track_id` were just discovered.
        boxes: (B, K, 4) around what is drawn of them.
    """
    tracked = (objects.track_id >= 0) & (objects.presence >= _SURE)
    begin, end = boxes[..., :2], boxes[..., 2:]
    shared = torch.minimum(end[:, :, None], end[:, None])
    shared = (shared - torch.maximum(begin[:, :, None], begin[:, None])).clamp(min=0).prod(-1)
    inside = shared > _PART * (end - begin).prod(-1)[:, :, None]
    part = (objects.track_id < 0) & (inside & tracked[:, None]).any(-1)
    presence = objects.presence.masked_fill(part, 0)
    twice = _claimed(boxes, presence, 0, _SAME_PLACE)
    return replace(objects, presence=presence.masked_fill(twice, 0))


@torch.no_grad()
def _claimed(boxes: Tensor, presence: Tensor, first: int, same_box: float) -> Tensor:
    """Which of the boxes (B, N, 4) from `first` on are nearly that of a more present object.

    Returns:
        (B, N - first) bool; of equals, the first is not.
    """
    left, top, right, bottom = boxes.mT.contiguous().unbind(1)

    def shared(begin: Tensor, end: Tensor) -> Tensor:
        mine = torch.minimum(end[:, first:, None], end[:, None])
        return (mine - torch.maximum(begin[:, first:, None], begin[:, None])).clamp(min=0)

    overlap = shared(left, right) * shared(top, bottom)  # (B, N - first, N)
    area = (right - left) * (bottom - top)
    same = overlap.gt_(same_box / (1 + same_box) * (area[:, first:, None] + area[:, None]))
    # 1 or 0 again, as bools take several times as long on the CPU.
    order = torch.arange(presence.shape[1], device=presence.device)
    mine, other = presence[:, first:, None], presence[:, None]
    less = torch.lt(mine, other, out=torch.empty_like(same))
    equal = torch.eq(mine, other, out=torch.empty_like(same))
    before = less.add_(equal.mul_(order < order[first:, None]))
    claimed: Tensor = same.mul_(before).amax(-1) > 0
    return claimed


def _source(propagated: Tensor, discovered: Tensor) -> Tensor:
    """For each slot, (B, K), the row of the pool (propagated, then discovered) that fills it."""
    num_slots = propagated.shape[1]
    order = torch.cat([propagated, discovered], 1).argsort(dim=1, descending=True, stable=True)
    chosen = torch.zeros_like(order, dtype=torch.bool)
    chosen = chosen.scatter(1, order[:, :num_slots], 1)
    kept, new = chosen[:, :num_slots], chosen[:, num_slots:]
    newcomers = new.int().argsort(dim=1, descending=True, stable=True)
    rank = ((~kept).cumsum(1) - 1).clamp(0, newcomers.shape[1] - 1)
    slots = torch.arange(num_slots, device=order.device).expand_as(kept)
    return slots.where(kept, num_slots + newcomers.gather(1, rank))
