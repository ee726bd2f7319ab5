"""Attention that leaves out what is far away, against sums over everything."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.model.attention import CellAttention, ObjectAttention
from silot_gym.model.networks import CELL_SIZE
from silot_gym.objects import Objects

STD, ANCHOR, DIM, OUT = 6.0, 24.0, 7, 5
ROWS, COLUMNS = 4, 6


def some_objects() -> tuple[Objects, Tensor]:
    torch.manual_seed(0)
    extent = torch.tensor([COLUMNS, ROWS]) * CELL_SIZE
    objects = Objects.empty(2, 8, 1, 1, torch.device("cpu"))
    objects = replace(
        objects, position=torch.rand(2, 8, 2) * extent, presence=torch.rand(2, 8).round()
    )
    return objects, torch.randn(2, 8, DIM)


def density(delta: Tensor) -> Tensor:
    """Of a normal distribution in the plane, with lengths in anchors."""
    normal = torch.distributions.MultivariateNormal(
        torch.zeros(2), (STD / ANCHOR) ** 2 * torch.eye(2)
    )
    return normal.log_prob(delta / ANCHOR).exp()


def test_cells_know_the_objects_near_them() -> None:
    objects, features = some_objects()
    attention = CellAttention(DIM, OUT, STD, ANCHOR)
    seen = attention(objects, features, ROWS, COLUMNS)
    for row in range(ROWS):
        for column in range(COLUMNS):
            centre = (torch.tensor([column, row]) + 0.5) * CELL_SIZE
            delta = centre - objects.position  # (2, 8, 2)
            first = attention.from_object(features) + attention.from_offset(delta / ANCHOR)
            weight = density(delta) * objects.presence
            everything = (attention.relation(first.relu()) * weight[..., None]).sum(1)
            # Left out is what is more than a cell and a half away, three standard deviations.
            most = math.exp(-(3**2) / 2) * density(torch.zeros(1, 2)).item()
            tolerance = most * objects.presence.sum().item() * 2
            torch.testing.assert_close(
                seen[:, row * COLUMNS + column], everything, atol=tolerance, rtol=0
            )


def test_objects_know_all_others_and_themselves() -> None:
    objects, features = some_objects()
    attention = ObjectAttention(DIM, OUT, STD, ANCHOR)
    seen = attention(objects, features)
    itself = attention.itself(features)
    for k in range(8):
        delta = objects.position - objects.position[:, k : k + 1]
        first = (
            attention.from_other(features)
            + attention.from_itself(itself[:, k : k + 1])
            + attention.from_offset(delta / ANCHOR)
        )
        weight = density(delta) * objects.presence
        others = (attention.relation(first.relu()) * weight[..., None]).sum(1)
        torch.testing.assert_close(seen[:, k], itself[:, k] + others)
