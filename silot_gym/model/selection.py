"""Selection: the K objects that are most surely present, each in a slot of its own."""

from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.objects import Objects


def select(propagated: Objects, discovered: Objects, nms_iou: float) -> tuple[Objects, Tensor]:
    """The most present of the propagated and discovered objects (section 3.5 of the paper).

    A propagated object that is kept keeps its slot; the slots of the others are filled with
    discovered objects in the order of their cells. Ties go to the propagated.

    Several cells may find one object, and a cell may find a tracked one. The paper leaves it to
    training that they don't; here, as in other detectors, non-maximum suppression leaves out each
    discovered object whose box overlaps that of a more present object. Tracked objects may cross.

    Args:
        propagated: objects (B, K).
        discovered: objects (B, C).
        nms_iou: intersection over union from which on boxes overlap too much.

    Returns:
        Objects (B, K), of which discovered ones have `track_id` -1; and for each its row (B, K)
        among the propagated and then the discovered objects.
    """
    presence = torch.cat([propagated.presence, discovered.presence], 1)  # (B, K + C)
    boxes = torch.cat([propagated.boxes, discovered.boxes], 1)  # (B, K + C, 4)
    num_slots = propagated.presence.shape[1]
    suppressed = non_maximum(boxes, presence, nms_iou, first=num_slots)  # (B, C)
    discovered = replace(discovered, presence=discovered.presence.masked_fill(suppressed, 0))
    source = _source(propagated.presence.detach(), discovered.presence.detach())  # (B, K)
    return Objects.concatenate([propagated, discovered], 1).take(source), source


@torch.no_grad()
def non_maximum(boxes: Tensor, presence: Tensor, iou: float, first: int = 0) -> Tensor:
    """Which boxes overlap that of a more present object.

    Args:
        boxes: (B, N, 4).
        presence: (B, N); of equals, the first counts as more present.
        iou: intersection over union from which on boxes overlap too much.
        first: boxes before this one are only compared with.

    Returns:
        (B, N - first) bool.
    """
    left, top, right, bottom = boxes.mT.contiguous().unbind(1)  # (B, N) each

    def shared(begin: Tensor, end: Tensor) -> Tensor:  # (B, N - first, N)
        inner = torch.minimum(end[:, first:, None], end[:, None])
        return (inner - torch.maximum(begin[:, first:, None], begin[:, None])).clamp(min=0)

    overlap = shared(left, right) * shared(top, bottom)  # (B, N - first, N)
    area = (right - left) * (bottom - top)
    same = overlap.gt_(iou / (1 + iou) * (area[:, first:, None] + area[:, None]))
    # 1 or 0 in floats, because bools take several times as long on the CPU.
    order = torch.arange(presence.shape[1], device=presence.device)
    own, other = presence[:, first:, None], presence[:, None]
    less = torch.lt(own, other, out=torch.empty_like(same))
    equal = torch.eq(own, other, out=torch.empty_like(same))
    before = less.add_(equal.mul_(order < order[first:, None]))
    suppressed: Tensor = same.mul_(before).amax(-1) > 0
    return suppressed


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
