"""Spatial attention: what is near a place, weighted by a Gaussian of the distance.

Section B of the paper's supplement. Two liberties are taken: an object counts as far as it is
present, so that empty slots change nothing, and what lies beyond three standard deviations of
the kernel's default width may be left out, so that the cost does not grow with the frame.
"""

import math

import torch
from torch import Tensor, nn

from silot_gym.model.networks import CELL_SIZE, mlp
from silot_gym.objects import Objects


def _gaussian(delta: Tensor, std: float, anchor_size: float) -> Tensor:
    """Density (..., ) of displacements (..., 2) in pixels, in units of one over anchor squared."""
    peak = (anchor_size / std) ** 2 / (2 * math.pi)
    return peak * torch.exp(-0.5 * (delta / std).square().sum(-1))


class CellAttention(nn.Module):
    """For each cell, what is known of the objects near its centre (v_td in section 3.3).

    An object reaches the nine cells around its centre.
    """

    def __init__(self, object_dim: int, out_dim: int, std: float, anchor_size: float) -> None:
        super().__init__()
        self.std = std
        self.anchor_size = anchor_size
        self.from_object = nn.Linear(object_dim, out_dim)
        self.from_offset = nn.Linear(2, out_dim, bias=False)
        self.relation = mlp(out_dim, (out_dim,), out_dim)

    def forward(self, objects: Objects, features: Tensor, rows: int, columns: int) -> Tensor:
        """Features (B, K, object_dim) of objects to (B, rows * columns, out_dim) of cells."""
        batch = features.shape[0]
        steps = torch.arange(-1, 2, device=features.device)
        neighbours = torch.cartesian_prod(steps, steps).flip(-1)  # (9, 2) as (x, y)
        home = (objects.position.detach() / CELL_SIZE).floor().long()
        cell = home[:, :, None] + neighbours  # (B, K, 9, 2)
        column, row = cell.unbind(-1)
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        delta = (cell + 0.5) * CELL_SIZE - objects.position[:, :, None]

        # The first layer of the relation network, in two parts: one an object, one a pair.
        pair = self.from_object(features)[:, :, None] + self.from_offset(delta / self.anchor_size)
        weight = _gaussian(delta, self.std, self.anchor_size)
        weight = weight * inside * objects.presence[:, :, None]
        value = self.relation(pair.relu()) * weight[..., None]  # (B, K, 9, out_dim)

        index = (row * columns + column).where(inside, 0)
        index = index + torch.arange(batch, device=index.device)[:, None, None] * (rows * columns)
        sums = value.new_zeros(batch * rows * columns, value.shape[-1])
        sums = sums.index_add(0, index.flatten(), value.flatten(0, 2))
        cells: Tensor = sums.view(batch, rows * columns, -1)
        return cells


class ObjectAttention(nn.Module):
    """For each object, what is known of it and of the objects near it (u_td in section 3.4)."""

    def __init__(self, object_dim: int, out_dim: int, std: float, anchor_size: float) -> None:
        super().__init__()
        self.std = std
        self.anchor_size = anchor_size
        self.itself = mlp(object_dim, (out_dim, out_dim), out_dim)
        self.from_other = nn.Linear(object_dim, out_dim)
        self.from_itself = nn.Linear(out_dim, out_dim, bias=False)
        self.from_offset = nn.Linear(2, out_dim, bias=False)
        self.relation = mlp(out_dim, (out_dim,), out_dim)

    def forward(self, objects: Objects, features: Tensor) -> Tensor:
        """Features (B, K, object_dim) of objects to (B, K, out_dim)."""
        delta = objects.position[:, None] - objects.position[:, :, None]  # (B, K, K, 2)
        itself: Tensor = self.itself(features)
        pair = (
            self.from_other(features)[:, None]
            + self.from_itself(itself)[:, :, None]
            + self.from_offset(delta / self.anchor_size)
        )
        weight = _gaussian(delta, self.std, self.anchor_size) * objects.presence[:, None]
        others: Tensor = (self.relation(pair.relu()) * weight[..., None]).sum(2)
        return itself + others
