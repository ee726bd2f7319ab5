"""Parts of a step of play that run as TorchScript on the CPU.

A step of play is hundreds of operations on small tensors, and Python between them takes as long as
they do. TorchScript runs the same operations without it.
"""

import copy
import functools
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from silot_gym.objects import Objects

F = TypeVar("F", bound=Callable[..., Any])
Trace = Callable[..., Any]

_ATTRIBUTES = len(fields(Objects))


def traced(method: F) -> F:
    """Let a method of a module run as a trace where its `play.engine` says so and it is on the CPU.

    A trace is recorded at the first call with each set of arguments other than tensors. What is
    done must not depend on the tensors' values, and of their shapes only on the number of axes.

    All modules of one `config` share a trace. It works with the weights that a module had when it
    was first seen, as they are now.

    Args:
        method: takes and returns tensors, `Objects`, and what can be a key, all by position.
    """
    traces: dict[Hashable, Trace] = {}
    weights: WeakKeyDictionary[nn.Module, tuple[Tensor, ...]] = WeakKeyDictionary()

    @functools.wraps(method)
    def run(owner: nn.Module, *args: Any) -> Any:
        if cast(Any, owner).play.engine != "torchscript" or not next(_tensors(args)).is_cpu:
            return method(owner, *args)
        if owner not in weights:
            weights[owner] = tuple(_named_weights(owner).values())
        key = (cast(Hashable, owner.config), *map(_key, args))
        if key not in traces:
            traces[key] = _record(method, owner, args)
        return traces[key](*weights[owner], *_tensors(args))

    return cast(F, run)


def _key(value: Any) -> Hashable:
    """What of an argument its trace depends on."""
    if isinstance(value, Tensor):
        return value.dtype, value.dim()
    return Objects if isinstance(value, Objects) else cast(Hashable, value)


def _named_weights(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _record(method: Callable[..., Any], owner: nn.Module, args: tuple[Any, ...]) -> Trace:
    """The trace of a method, from weights and the tensors in its arguments to what it returns."""
    names = list(_named_weights(owner))
    stand_in = copy.deepcopy(owner)  # to have weights that the trace is given
    forms: list[Any] = []

    def work(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        for name in names:
            path, _, leaf = name.rpartition(".")
            module = stand_in.get_submodule(path)
            delattr(module, leaf)
            setattr(module, leaf, next(given))
        result = method(stand_in, *(_filled(_form(arg), given) for arg in args))
        forms.append(_form(result))
        return tuple(_tensors([result]))

    with warnings.catch_warnings():
        # It is deprecated; but nothing else in torch is ready at once, and without a compiler.
        warnings.simplefilter("ignore", DeprecationWarning)
        tensors = (*_named_weights(owner).values(), *_tensors(args))
        trace = torch.jit.trace(work, tensors, check_trace=False)  # type: ignore[no-untyped-call]
    (form,) = forms
    return lambda *tensors: _filled(form, iter(trace(*tensors)))


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
    return value


def _filled(form: Any, tensors: Iterator[Tensor]) -> Any:
    """The inverse of `_form` and `_tensors`."""
    if form is Tensor:
        return next(tensors)
    if form is Objects:
        return Objects(*islice(tensors, _ATTRIBUTES))
    return tuple(_filled(part, tensors) for part in form) if type(form) is tuple else form
