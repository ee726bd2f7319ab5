"""Work for a GPU that is captured once as a CUDA graph and then launched as a whole."""

import warnings
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

Work = Callable[..., Any]


class CUDAGraphRunner:
    """A function of tensors that a GPU runs as a CUDA graph.

    An update of SILOT is thousands of kernels of a few microseconds each, for which a GPU would
    wait for the host. The function must neither ask the device for anything, nor copy from the
    host.
    """

    def __init__(self, function: Work) -> None:
        """Nothing is recorded yet.

        Args:
            function: takes a dictionary of tensors, and by keyword what else its work depends on.
        """
        self._function = function
        self._launch: dict[Hashable, Work | None] = {}
        self._pool: Any = None  # memory that all records share: one runs at a time
        self._refused = False

    def __call__(self, tensors: dict[str, Tensor], **variant: Hashable) -> Any:
        """What the function returns; the next call may write over it.

        The first time, each variant is run as it is, as libraries then set themselves up; the
        second time it is recorded. If that fails, a warning says why, and nothing is recorded any
        more.
        """
        key = (*variant.items(), *((name, value.shape) for name, value in tensors.items()))
        known = key in self._launch
        launch = self._launch.setdefault(key, None)
        if known and launch is None and not self._refused:
            launch = self._launch[key] = self._record(tensors, variant)
        return launch(tensors) if launch else self._function(tensors, **variant)

    def _record(self, tensors: dict[str, Tensor], variant: dict[str, Hashable]) -> Work | None:
        inputs = {name: value.clone() for name, value in tensors.items()}
        try:
            replay, output, self._pool = capture(
                lambda: self._function(inputs, **variant), self._pool
            )
        except RuntimeError as error:
            self._refused = True
            first = error.__context__ or error  # what came before the end of the capture
            reason = str(first).partition("\n")[0]
            warnings.warn(f"training goes on without CUDA graphs: {reason}", stacklevel=3)
            return None

        def launch(tensors: dict[str, Tensor]) -> Any:
            for name, value in tensors.items():
                inputs[name].copy_(value)
            replay()
            return output

        return launch


def capture(work: Callable[[], Any], pool: Any) -> tuple[Callable[[], None], Any, Any]:
    """Record work without doing it: what launches it, what it then returns, and its memory."""
    graph = torch.cuda.CUDAGraph()
    here = torch.cuda.stream(torch.cuda.current_stream())  # to return to, even from a failure
    with here, torch.cuda.graph(graph, pool=pool):
        output = work()
    return graph.replay, output, graph.pool()
