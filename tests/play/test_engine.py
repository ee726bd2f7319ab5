import gc
import warnings
from dataclasses import replace
from weakref import ref

import pytest
import torch
from torch import Tensor, nn

from silot_gym.model import SILOT, ModelConfig
from silot_gym.objects import Objects
from silot_gym.play.config import PlayConfig
from silot_gym.play.engine import traced
from silot_gym.play.step import PlayStep
from tests.tiny import TINY

REFERENCE, TRACED = PlayConfig(engine="torch"), PlayConfig(engine="torchscript")


def make_model(config: ModelConfig = TINY) -> SILOT:
    torch.manual_seed(0)
    return SILOT(config).eval().requires_grad_(False)


@torch.inference_mode()
def play(step: PlayStep, films: list[Tensor]) -> list[Tensor]:
    """All that there is to know of the objects after each frame of each film."""
    known: list[Tensor] = []
    for film in films:
        objects = step.model.empty_objects(film.shape[1])
        for frame in film:
            objects, boxes = step(frame, frame.amax(1) > 0, objects)
            known += [*vars(objects).values(), boxes]
    return known


def films() -> list[Tensor]:
    """Noisy blocks in frames of several sizes and numbers of streams: some empty, some full."""
    noise = torch.Generator().manual_seed(1)
    made = []
    for streams, height, width in ((1, 48, 36), (3, 48, 36), (2, 60, 84), (1, 31, 100)):
        small = torch.rand(5, streams, 3, -(-height // 6), -(-width // 6), generator=noise)
        shown = torch.rand(5, streams, 1, *small.shape[-2:], generator=noise)
        share = torch.linspace(0, 0.8, 5).view(-1, 1, 1, 1, 1)
        blocks = small * (shown < share)
        film = blocks.repeat_interleave(6, -1).repeat_interleave(6, -2)[..., :height, :width]
        made.append(film)
    return made


def test_traces_do_what_plain_torch_does_whatever_the_sizes() -> None:
    model = make_model()
    expected = play(PlayStep(model, REFERENCE), films())
    step = PlayStep(model, TRACED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns where a trace may depend on values
        recorded, replayed = play(step, films()), play(step, films())
    for there, first, second in zip(expected, recorded, replayed, strict=True):
        torch.testing.assert_close(first, there, rtol=1e-5, atol=1e-5)
        assert torch.equal(first, second)


def test_traces_have_the_weights_that_the_model_has_now() -> None:
    model, other = make_model(), make_model()
    for weight in other.parameters():
        weight.add_(0.01)
    expected = play(PlayStep(other, REFERENCE), films()[:1])
    step = PlayStep(model, TRACED)
    before = play(step, films()[:1])
    model.load_state_dict(other.state_dict())
    after = play(step, films()[:1])
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    for there, here in zip(expected, after, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)


def test_models_of_one_kind_share_traces_but_not_weights() -> None:
    models = [make_model(), make_model(), make_model()]
    for model, change in zip(models, (0.0, 0.01, -0.01), strict=True):
        for weight in model.parameters():
            weight.add_(change)
    for model in models:
        expected = play(PlayStep(model, REFERENCE), films()[:1])
        found = play(PlayStep(model, TRACED), films()[:1])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_traces_do_not_keep_a_model_alive() -> None:
    model = make_model()
    play(PlayStep(model, TRACED), films()[:1])
    model_ref, weight_ref = ref(model), ref(model.discovery.fuse[0].weight)
    del model
    gc.collect()
    assert model_ref() is None and weight_ref() is None


def test_other_arguments_than_tensors_have_a_trace_of_their_own() -> None:
    calls = []

    class Mover(nn.Module):
        config, play = "one kind of mover", TRACED

        @traced
        def moved(
            self, objects: Objects, by: int, twice: bool
        ) -> tuple[Objects, None, tuple[Tensor, int]]:
            calls.append((by, twice))
            far = by * (2 if twice else 1)
            there = objects.map(lambda value: value + far)
            return there, None, (there.presence, by)

    mover, objects = Mover(), Objects.empty(1, 2, 3, 4, torch.device("cpu"))
    for _ in range(3):
        for by, twice in ((1, False), (1, True), (5, False)):
            there, nothing, (presence, same) = mover.moved(objects, by, twice)
            assert there.position.eq(by * (1 + twice)).all() and there.presence.equal(presence)
            assert (nothing, same) == (None, by)
    assert calls == [(1, False), (1, True), (5, False)]


@pytest.mark.parametrize("scales", [(1,), (1, 2)])
@pytest.mark.parametrize("object_attention", [False, True])
def test_all_kinds_of_models_have_traces(scales: tuple[int, ...], object_attention: bool) -> None:
    config = replace(TINY, scales=scales, object_attention=object_attention, pixel_size=2)
    model = make_model(config)
    expected = play(PlayStep(model, REFERENCE), films())
    for there, here in zip(expected, play(PlayStep(model, TRACED), films()), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)
