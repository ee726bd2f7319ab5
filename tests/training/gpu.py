"""What stands in for a GPU in tests."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only


class Recorder:
    """Stands in for `cuda_graph.capture`: launches write over the same tensors each time."""

    def __init__(self) -> None:
        self.records = self.launches = 0

    def capture(self, work: Callable[[], Any], pool: Any) -> tuple[Callable[[], None], Any, Any]:
        self.records += 1
        noise = torch.get_rng_state()
        kept: list[Tensor] = []
        tree_map_only(Tensor, kept.append, output := tree_map_only(Tensor, torch.clone, work()))
        for value in kept:
            value.fill_(-1)  # nothing is computed yet
        torch.set_rng_state(noise)

        def launch() -> None:
            self.launches += 1
            now: list[Tensor] = []
            tree_map_only(Tensor, now.append, work())
            for old, new in zip(kept, now, strict=True):
                old.copy_(new)

        return launch, output, "pool"
