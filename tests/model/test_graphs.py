import gc
import warnings
from weakref import ref

import pytest
import torch
from silot_gym.model.graphs import graphed
from torch import Tensor

from silot_gym.model import SILOT, ModelConfig
from silot_gym.model.rendering import is_drawn
from silot_gym.objects import Objects
from tests.tiny import TINY


def make_model(config: ModelConfig = TINY) -> SILOT:
    torch.manual_seed(0)
    return SILOT(config).eval().requires_grad_(False)


def play(model: SILOT, films: list[Tensor]) -> list[Tensor]:
    """All that there is to know of the objects after each frame of each film."""
    known: list[Tensor] = []
    for film in films:
        objects = model.empty_objects(film.shape[1])
        for frame in film:
            output = model.step(frame, objects, drawn=is_drawn(frame))
            assert output.boxes is not None
            objects = output.objects
            known += [*vars(objects).values(), output.boxes]
    return known


def films() -> list[Tensor]:
    """Noisy blocks in frames of several sizes and numbers of streams: some empty, some full."""
    noise = torch.Generator().manual_seed(1)
    made = []
    for streams, height, width in ((1, 48, 36), (3, 48, 36), (2, 60, 84), (1, 31, 100)):
        small = torch.rand(5, streams, 3, -(-height // 6), -(-width // 6), generator=noise)
        drawn = torch.rand(5, streams, 1, *small.shape[-2:], generator=noise)
        share = torch.linspace(0, 0.8, 5).view(-1, 1, 1, 1, 1)
        blocks = small * (drawn < share)
        film = blocks.repeat_interleave(6, -1).repeat_interleave(6, -2)[..., :height, :width]
        made.append(film)
    return made


def test_graphs_do_what_is_done_without_them_whatever_the_sizes() -> None:
    model = make_model()
    with torch.no_grad():
        expected = play(model, films())
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("error")  # torch warns where a graph may depend on values
        recorded, replayed = play(model, films()), play(model, films())
    for there, first, second in zip(expected, recorded, replayed, strict=True):
        torch.testing.assert_close(first, there, rtol=1e-5, atol=1e-5)
        assert torch.equal(first, second)


def test_graphs_have_the_weights_that_the_model_has_now() -> None:
    model, other = make_model(), make_model()
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.01)
        expected = play(other, films()[:1])
    with torch.inference_mode():
        before = play(model, films()[:1])
        model.load_state_dict(other.state_dict())
        after = play(model, films()[:1])
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    for there, here in zip(expected, after, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)


def test_models_of_one_kind_share_graphs_but_not_weights_or_modes() -> None:
    models = [make_model(), make_model(), make_model()]
    with torch.no_grad():
        for model, change in zip(models, (0.0, 0.01, -0.01), strict=True):
            for weight in model.parameters():
                weight.add_(change)
        expected = [play(model, films()[:1]) for model in models]
    for model, there in zip(models, expected, strict=True):
        with torch.inference_mode():
            torch.testing.assert_close(play(model, films()[:1]), there, rtol=1e-5, atol=1e-5)
    model = models[0].train()
    with torch.inference_mode():
        first, second = play(model, films()[:1]), play(model, films()[:1])
    assert all(module.training for module in model.modules())
    assert not all(torch.equal(a, b) for a, b in zip(first, second, strict=True))  # noise
    torch.testing.assert_close(play(model.eval(), films()[:1]), expected[0], rtol=1e-5, atol=1e-5)


def test_arithmetic_of_another_kind_is_not_recorded() -> None:
    model, film = make_model(), films()[:1]
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            play(model, film)
        plain = play(model, film)
    torch.testing.assert_close(play(model, film), plain, rtol=1e-5, atol=1e-5)


def test_graphs_do_not_keep_a_model_alive() -> None:
    model = make_model()
    with torch.inference_mode():
        play(model, films()[:1])
    model_ref, weight_ref = ref(model), ref(model.discovery.fuse[0].weight)
    del model
    gc.collect()
    assert model_ref() is None and weight_ref() is None


def test_other_arguments_than_tensors_have_a_graph_of_their_own() -> None:
    calls = []

    @graphed
    def moved(objects: Objects, by: int, twice: bool) -> tuple[Objects, None, tuple[Tensor, int]]:
        calls.append((by, twice))
        far = by * (2 if twice else 1)
        there = objects.map(lambda value: value + far)
        return there, None, (there.presence, by)

    objects = Objects.empty(1, 2, 3, 4, torch.device("cpu"))
    with torch.inference_mode():
        for _ in range(3):
            for by, twice in ((1, False), (1, True), (5, False)):
                there, nothing, (presence, same) = moved(objects, by, twice)
                assert moved(objects, twice=twice, by=by)[0].position.equal(there.position)
                assert there.position.eq(by * (1 + twice)).all() and there.presence.equal(presence)
                assert (nothing, same) == (None, by)
    assert calls == [(1, False), (1, True), (5, False)]
    moved(objects, 5, False)
    assert len(calls) == 4  # outside of play, nothing is recorded


@pytest.mark.parametrize("scales", [(1,), (1, 2)])
@pytest.mark.parametrize("object_attention", [False, True])
def test_all_kinds_of_models_have_graphs(scales: tuple[int, ...], object_attention: bool) -> None:
    config = ModelConfig(
        **{**vars(TINY), "scales": scales, "object_attention": object_attention, "pixel_size": 2}
    )
    model = make_model(config)
    with torch.no_grad():
        expected = play(model, films())
    with torch.inference_mode():
        for there, here in zip(expected, play(model, films()), strict=True):
            torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)
