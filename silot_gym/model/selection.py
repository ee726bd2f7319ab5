"""Selection: the K objects that are most surely present, each in a slot of its own."""

from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.objects import Objects

_SAME_BOX, _SAME_BOX_IN_PLAY = 0.5, 0.2
"""Intersection over union from which on a discovered object's box is taken for another one's. In
training, boxes are too loose yet to tell by less."""
_SAME_TRACK_IN_PLAY = 0.5
"""And from which on two tracks are taken for the same object's."""


def select(propagated: Objects, discovered: Objects, in_play: bool = False) -> Objects:
    """The most present of the propagated and discovered objects (section 3.5 of the paper).

    A propagated object that is kept keeps its slot; the slots of the others are filled with
    discovered objects in the order of their cells. Ties go to the propagated.

    Several cells may claim one object. As in other detectors, of boxes that overlap much the most
    present stays: here no discovered object is taken whose box is that of another, more present
    one. In training, tracked objects may cross; in play, of two that have nearly the same box the
    less present is given up, lest duplicates live on.

    Args:
        propagated: objects (B, K).
        discovered: objects (B, C).
        in_play: whether this is play.

    Returns:
        Objects (B, K). Discovered ones have `track_id` -1.
    """
    if in_play:
        nothing = propagated.map(lambda value: value[:, :0])
        twice = _claimed(nothing, propagated, _SAME_TRACK_IN_PLAY)
        propagated = replace(propagated, presence=propagated.presence.masked_fill(twice, 0))
    same_box = _SAME_BOX_IN_PLAY if in_play else _SAME_BOX
    claimed = _claimed(propagated, discovered, same_box)
    discovered = replace(discovered, presence=discovered.presence.masked_fill(claimed, 0))
    source = _source(propagated.presence.detach(), discovered.presence.detach())
    return Objects.concatenate([propagated, discovered], 1).take(source)


@torch.no_grad()
def _claimed(propagated: Objects, discovered: Objects, same_box: float) -> Tensor:
    """Which discovered objects, (B, C), have nearly the box of a more present object."""
    first, last, presence = (
        torch.cat([old, new], 1)
        for old, new in zip(_corners(propagated), _corners(discovered), strict=True)
    )
    slots = propagated.presence.shape[1]
    overlap = torch.minimum(last[:, slots:, None], last[:, None]) - torch.maximum(
        first[:, slots:, None], first[:, None]
    )
    overlap = overlap.clamp(min=0).prod(-1)  # (B, C, K + C)
    area = (last - first).prod(-1)
    same = overlap > same_box / (1 + same_box) * (area[:, slots:, None] + area[:, None])
    # Of equals the one that comes first.
    mine, its = presence[:, slots:, None], presence[:, None]
    order = torch.arange(presence.shape[1], device=presence.device)
    before = (its > mine) | ((its == mine) & (order < order[slots:, None]))
    claimed: Tensor = (same & before).any(-1)
    return claimed


def _corners(objects: Objects) -> tuple[Tensor, Tensor, Tensor]:
    """First and last corners of objects' boxes, and their presence."""
    half = objects.size / 2
    return objects.position - half, objects.position + half, objects.presence


def _source(propagated: Tensor, discovered: Tensor) -> Tensor:
    """For each slot, (B, K), the row of the pool (propagated, then discovered) that fills it."""
    num_slots = propagated.shape[1]
    order = torch.cat([propagated, discovered], 1).argsort(dim=1, descending=True, stable=True)
    chosen = torch.zeros_like(order, dtype=torch.bool)
    chosen = chosen.scatter(1, order[:, :num_slots], True)
    kept, new = chosen[:, :num_slots], chosen[:, num_slots:]
    newcomers = new.int().argsort(dim=1, descending=True, stable=True)
    rank = ((~kept).cumsum(1) - 1).clamp(0, newcomers.shape[1] - 1)
    slots = torch.arange(num_slots, device=order.device).expand_as(kept)
    return slots.where(kept, num_slots + newcomers.gather(1, rank))
