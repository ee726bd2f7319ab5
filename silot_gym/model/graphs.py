"""Parts of the model that run as graphs in play on the CPU.

A step of play is hundreds of operations on small tensors, and Python between them takes as long as
they do. TorchScript runs the same operations without it.
"""

import copy
import functools
import inspect
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from silot_gym.model.latents import Latents
from silot_gym.objects import Objects

F = TypeVar("F", bound=Callable[..., Any])
Graph = Callable[..., Any]

_ATTRIBUTES = len(fields(Objects))


def graphed(function: F) -> F:
    """Let a function, or a method of a module, run as a graph in inference mode on the CPU.

    A graph is recorded at the first call with each set of arguments other than tensors. What is
    done must not depend on the tensors' values, and of their shapes only on the number of axes.
    `Latents` among the results are None from a graph: play has no use for them.

    All modules of one `config` share a graph. It works with the weights that a module had when it
    was first seen, as they are now.

    Args:
        function: of tensors, `Objects`, and what can be a key.
    """
    signature = inspect.signature(function)
    graphs: dict[Hashable, Graph] = {}
    weights: WeakKeyDictionary[nn.Module, tuple[Tensor, ...]] = WeakKeyDictionary()

    @functools.wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        if not torch.is_inference_mode_enabled() or torch.is_autocast_enabled("cpu"):
            return function(*args, **named)
        if named:
            given = signature.bind(*args, **named)
            given.apply_defaults()
            args = given.args
        if next(_tensors(args)).device.type != "cpu":
            return function(*args)
        owner = args[0] if isinstance(args[0], nn.Module) else None
        if owner is not None and owner not in weights:
            weights[owner] = tuple(_named_weights(owner).values())
        key = tuple(map(_key, args))
        if key not in graphs:
            graphs[key] = _record(function, owner, args)
        own = () if owner is None else weights[owner]
        return graphs[key](*own, *_tensors(args))

    return cast(F, run)


def _key(value: Any) -> Hashable:
    """What of an argument its graph depends on."""
    if isinstance(value, Tensor):
        return value.dtype, value.dim()
    if isinstance(value, Objects):
        return Objects
    if isinstance(value, nn.Module):
        return type(value), cast(Hashable, value.config), value.training
    return cast(Hashable, value)


def _named_weights(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _record(function: Callable[..., Any], owner: nn.Module | None, args: tuple[Any, ...]) -> Graph:
    """The graph of a function, from weights and the tensors in its arguments to what it returns."""
    own = {} if owner is None else _named_weights(owner)
    stand_in = copy.deepcopy(owner)  # to have weights that the graph is given
    forms: list[Any] = []

    def work(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        for name in own:
            path, _, leaf = name.rpartition(".")
            module = cast(nn.Module, stand_in).get_submodule(path)
            delattr(module, leaf)
            setattr(module, leaf, next(given))
        filled = (stand_in if arg is owner else _filled(_form(arg), given) for arg in args)
        result = function(*filled)
        forms.append(_form(result))
        return tuple(_tensors([result]))

    with warnings.catch_warnings():
        # It is deprecated; but nothing else in torch is ready at once, and without a compiler.
        warnings.simplefilter("ignore", DeprecationWarning)
        tensors = (*own.values(), *_tensors(args))
        graph = torch.jit.trace(work, tensors, check_trace=False)  # type: ignore[no-untyped-call]
    (form,) = forms
    return lambda *tensors: _filled(form, iter(graph(*tensors)))


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """All tensors in arguments or results, in their order."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Objects):
            yield from vars(value).values()
        elif type(value) is tuple:
            yield from _tensors(value)


def _form(value: Any) -> Any:
    """An argument or result without its tensors."""
    if isinstance(value, Tensor | Objects):
        return type(value)
    if type(value) is tuple:
        return tuple(map(_form, value))
    return None if isinstance(value, Latents) else value


def _filled(form: Any, tensors: Iterator[Tensor]) -> Any:
    """The inverse of `_form` and `_tensors`."""
    if form is Tensor:
        return next(tensors)
    if form is Objects:
        return Objects(*islice(tensors, _ATTRIBUTES))
    return tuple(_filled(part, tensors) for part in form) if type(form) is tuple else form
