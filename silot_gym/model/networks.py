"""The networks that SILOT is put together from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL_SIZE = 12
"""Pixels between the centres of neighbouring cells: the product of the backbone's strides."""
RECEPTIVE_FIELD = 31
"""Side in pixels of what the backbone's features of a cell depend on."""
MARGIN = (RECEPTIVE_FIELD - CELL_SIZE) // 2
"""Pixels by which it reaches beyond the cell on the left and at the top."""


def mlp(in_dim: int, hidden_dims: Sequence[int], out_dim: int) -> nn.Sequential:
    """A perceptron with rectified hidden layers, on the last axis of its input."""
    layers: list[nn.Module] = []
    for dim in hidden_dims:
        layers += [_linear(in_dim, dim), nn.ReLU(inplace=True)]
        in_dim = dim
    return nn.Sequential(*layers, _linear(in_dim, out_dim))


def _linear(in_dim: int, out_dim: int) -> nn.Linear:
    layer = nn.Linear(in_dim, out_dim)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def last_bias(perceptron: nn.Sequential) -> Tensor:
    """What a perceptron adds to its outputs."""
    last = perceptron[-1]
    assert isinstance(last, nn.Linear)
    return last.bias


class Backbone(nn.Module):
    """Frame to one feature vector a cell (d_bu in section 3.3 of the paper).

    Each receptive field (31 pixels) is centred on its cell, up to half a pixel: 31 - 12 is odd.
    """

    def __init__(self, first_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, first_channels, 4, stride=3),
            nn.ReLU(inplace=True),
            nn.Conv2d(first_channels, channels, 4, stride=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 4, stride=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, out_channels, 1),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
                # Convolutions are faster on the CPU with channels last.
                layer.weight.data = layer.weight.contiguous(memory_format=torch.channels_last)

    def forward(self, frame: Tensor) -> Tensor:
        """Frame (B, 3, height, width) to features (B, out_channels, rows, columns) of cells.

        The cells are those whose receptive fields lie in the frame; see `with_margin`.
        """
        features: Tensor = self.layers(frame.contiguous(memory_format=torch.channels_last))
        return features


def with_margin(frame: Tensor) -> Tensor:
    """A frame (B, 3, height, width) with as much black around it as its cells' fields need."""
    rows, columns = grid_size(frame)
    after_x, after_y = (
        RECEPTIVE_FIELD + (cells - 1) * CELL_SIZE - MARGIN - pixels
        for cells, pixels in ((columns, frame.shape[-1]), (rows, frame.shape[-2]))
    )
    return functional.pad(frame, (MARGIN, after_x, MARGIN, after_y))


def grid_size(frame: Tensor) -> tuple[int, int]:
    """Rows and columns of the cells that cover a frame (..., height, width)."""
    height, width = frame.shape[-2:]
    return -(-height // CELL_SIZE), -(-width // CELL_SIZE)


def cell_origins(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows * columns, 2) upper left corners (x, y) of the cells in pixels, row by row."""
    y = torch.arange(rows, device=device) * CELL_SIZE
    x = torch.arange(columns, device=device) * CELL_SIZE
    return torch.cartesian_prod(y, x).flip(-1).float()
