from dataclasses import replace

import pytest
import torch
from torch import Tensor

from silot_gym.model import SILOT, ModelConfig
from silot_gym.model.networks import CELL_SIZE, with_margin
from silot_gym.objects import Objects
from silot_gym.training.elbo import ELBO
from tests.scene import blobs, small_model, tracked
from tests.tiny import TINY


def test_shifting_the_frame_by_a_cell_shifts_the_discovered_objects_by_a_cell() -> None:
    model = small_model()
    here, _ = model.discovery(blobs((30, 25), height=96, width=96), model.empty_objects(1))
    there, _ = model.discovery(
        blobs((30 + CELL_SIZE, 25 + CELL_SIZE), height=96, width=96), model.empty_objects(1)
    )

    def inner(values: Tensor, shift: int) -> Tensor:
        grid = values.unflatten(1, (8, 8))
        return grid[:, 2 + shift : 5 + shift, 2 + shift : 5 + shift]

    for name in ("size_logit", "what", "depth_logit", "presence"):
        torch.testing.assert_close(
            inner(getattr(here, name), 0), inner(getattr(there, name), 1), atol=1e-4, rtol=1e-4
        )
    moved = inner(there.position, 1) - inner(here.position, 0)
    torch.testing.assert_close(moved, torch.full_like(moved, CELL_SIZE), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(72, 72), (50, 83), (210, 160)])
def test_it_runs_on_frames_of_any_size(height: int, width: int) -> None:
    model = small_model()
    frame = torch.rand(2, 3, height, width)
    output = model.step(frame, model.empty_objects(2, 20))
    cells = -(-height // CELL_SIZE) * -(-width // CELL_SIZE)
    assert output.discovered is not None
    assert output.discovered.presence.shape == (2, cells)
    assert output.objects.presence.shape == (2, 20)
    assert model.render(output.objects, height, width).shape == frame.shape


def test_larger_pixels_make_the_same_of_a_frame_that_is_as_much_larger() -> None:
    small = small_model()
    large = SILOT(replace(small.config, pixel_size=3)).eval()
    large.load_state_dict(small.state_dict())
    frame = torch.rand(1, 3, 50, 41)
    enlarged = frame.repeat_interleave(3, -1).repeat_interleave(3, -2)
    one = small.step(frame, small.empty_objects(1)).objects
    three = large.step(enlarged, large.empty_objects(1)).objects
    torch.testing.assert_close(one.presence, three.presence)
    torch.testing.assert_close(3 * small.boxes(one), large.boxes(three), atol=1e-3, rtol=1e-4)
    drawn = small.render(one, 50, 41).repeat_interleave(3, -1).repeat_interleave(3, -2)
    torch.testing.assert_close(drawn[..., :149, :121], large.render(three, 149, 121))
    costs = [
        ELBO(model).eval()(video[None])[0] for model, video in ((small, frame), (large, enlarged))
    ]
    torch.testing.assert_close(costs[0], costs[1])


def test_slots_that_are_empty_may_be_left_out() -> None:
    model = small_model()
    frame = torch.rand(2, 3, 60, 48)
    last = model.empty_objects(2, 9)
    for slots in ([1, 4, 5], [0, 2, 3, 8]):  # as many in one stream as in the other, and not
        other = tracked(model, frame[:1], 4)
        pair = Objects.concatenate([other, other])
        where = torch.tensor([slots[:3], [0, 7, 8]])
        last = last.put(where, pair.take(torch.tensor([[0, 1, 2]] * 2)))
    full, _ = model.propagation(last, frame)
    full = replace(full, hidden=model.recurrence(last, full))
    some = model.step(frame, last, active=model.active_slots(last), discover=False).objects
    assert (last.presence == 0).any()
    for name in ("presence", "position", "what", "hidden", "track_id"):
        one, two = getattr(full, name), getattr(some, name)
        there = full.presence > 0
        torch.testing.assert_close(one[there], two[there], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full.presence, some.presence)


def test_a_coarse_scale_finds_in_a_large_frame_what_a_fine_one_finds_in_a_small_one() -> None:
    fine = small_model()
    coarse = SILOT(replace(fine.config, scales=(3,))).eval()
    both = SILOT(replace(fine.config, scales=(1, 3))).eval()
    for model in (coarse, both):
        model.load_state_dict(fine.state_dict())
    small = blobs((20, 25), (33, 8))
    large = small.repeat_interleave(3, 2).repeat_interleave(3, 3)
    tracks = tracked(fine, small)
    larger = replace(tracks, position=3 * tracks.position, anchor=3 * tracks.anchor)
    found, _ = fine.discovery(small, tracks)
    again, _ = coarse.discovery(large, larger)
    torch.testing.assert_close(again.position, 3 * found.position)
    torch.testing.assert_close(again.size, 3 * found.size)
    torch.testing.assert_close(again.presence, found.presence)
    at_both, _ = both.discovery(large, larger)
    at_one, _ = fine.discovery(large, larger)
    for name, value in vars(at_both).items():
        parts = getattr(at_one, name), getattr(again, name)
        torch.testing.assert_close(value, torch.cat(parts, 1))


def test_a_cell_sees_as_far_to_one_side_as_to_the_other() -> None:
    model = small_model()
    frame = torch.rand(1, 3, 120, 120, requires_grad=True)
    model.discovery.backbone(with_margin(frame))[0, :, 4, 4].sum().backward()
    assert frame.grad is not None
    seen = frame.grad.abs().sum((0, 1)).nonzero()
    first, last = seen.min(0).values, seen.max(0).values
    centre = (4 + 0.5) * CELL_SIZE
    assert (last - first + 1).tolist() == [31, 31]
    assert ((first + last + 1) / 2 - centre).abs().max() <= 0.5


@pytest.mark.parametrize("training", [True, False])
def test_presence_never_rises_in_propagation(training: bool) -> None:
    model = small_model().train(training)
    frame = torch.rand(1, 3, 60, 72)
    objects = tracked(model, frame)
    for _ in range(5):
        propagated, _ = model.propagation(objects, frame)
        assert (propagated.presence <= objects.presence).all()
        objects = propagated


@pytest.mark.parametrize("attention", [False, True])
def test_permuting_slots_permutes_propagation(attention: bool) -> None:
    model = small_model(replace(TINY, object_attention=attention))
    frame = torch.rand(1, 3, 60, 72)
    objects, order = tracked(model, frame), torch.tensor([3, 0, 5, 1, 4, 2])
    straight, _ = model.propagation(objects, frame)
    permuted, _ = model.propagation(objects.map(lambda v: v[:, order]), frame)
    for name, value in vars(straight).items():
        torch.testing.assert_close(value[:, order], getattr(permuted, name), atol=1e-5, rtol=1e-4)


def test_objects_attend_to_each_other_only_if_asked_to() -> None:
    frame = torch.rand(1, 3, 60, 72)
    for attention in (False, True):
        model = small_model(replace(TINY, object_attention=attention))
        objects = tracked(model, frame)
        other = replace(objects, what=objects.what.clone())
        other.what[0, 1] += 1
        near = replace(objects, position=torch.full_like(objects.position, 30.0))
        near_other = replace(other, position=near.position)
        before, _ = model.propagation(near, frame)
        after, _ = model.propagation(near_other, frame)
        same = torch.allclose(before.what[0, 0], after.what[0, 0], atol=1e-6)
        assert same is not attention


def test_empty_slots_change_nothing() -> None:
    model = small_model(replace(TINY, object_attention=True))
    frame = blobs((20, 20), (44, 31))
    objects = tracked(model, frame)
    objects = replace(objects, presence=torch.tensor([[0.9, 0.8, 0.7, 0, 0, 0]]))
    fewer = objects.map(lambda v: v[:, :3])
    full, small = model.step(frame, objects), model.step(frame, fewer)
    assert full.discovered is not None
    assert small.discovered is not None
    torch.testing.assert_close(full.discovered.presence, small.discovered.presence)
    torch.testing.assert_close(full.propagated.what[:, :3], small.propagated.what)
    torch.testing.assert_close(
        model.render(full.propagated, 60, 72), model.render(small.propagated, 60, 72)
    )


def test_before_the_first_frame_there_is_nothing_to_propagate() -> None:
    model, frame = small_model(), blobs((20, 20))
    nothing = model.empty_objects(1)
    assert model.active_slots(nothing).shape == (1, 0)
    none = model.step(frame, nothing, active=model.active_slots(nothing))
    every = model.step(frame, nothing)
    torch.testing.assert_close(none.objects.presence, every.objects.presence)
    torch.testing.assert_close(none.objects.position, every.objects.position)


def test_what_is_hardly_present_is_given_up() -> None:
    model, frame = small_model(), blobs((20, 20))
    objects = tracked(model, frame)
    objects = replace(objects, presence=torch.tensor([[0.9, 0.009, 0.011, 0.5, 0.0, 0.7]]))
    propagated = model.step(frame, objects, discover=False).objects
    assert (propagated.presence > 0).tolist() == [[True, False, True, True, False, True]]


def test_a_propagated_object_keeps_nearby_cells_informed() -> None:
    model, frame = small_model(), blobs((20, 20))
    none, _ = model.discovery(frame, model.empty_objects(1))
    some, _ = model.discovery(frame, tracked(model, frame))
    changed = (none.presence != some.presence)[0].unflatten(0, (5, 6))
    assert changed.any()
    far = replace(tracked(model, frame), position=torch.full((1, 6, 2), -500.0))
    away, _ = model.discovery(frame, far)
    torch.testing.assert_close(none.presence, away.presence)


def test_prediction_needs_no_frame_and_keeps_slots() -> None:
    model = small_model()
    objects = tracked(model, blobs())
    predicted = model.predict(objects)
    assert torch.equal(predicted.track_id, objects.track_id)
    assert (predicted.presence <= objects.presence).all()
    assert not torch.equal(predicted.position, objects.position)


def test_the_papers_configuration_has_the_papers_sizes() -> None:
    config = ModelConfig.paper_atari(anchor_size=24)
    model = SILOT(config)
    assert (config.num_slots, config.what_dim, config.glimpse_size) == (36, 64, 21)
    backbone = sum(p.numel() for p in model.discovery.backbone.parameters())
    assert 0.55e6 < backbone < 0.6e6
    decoder = sum(p.numel() for p in model.renderer.parameters())
    assert 1.03e6 < decoder < 1.07e6


def test_a_configuration_that_makes_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="num_slots must be positive, got 0"):
        ModelConfig(num_slots=0)
    with pytest.raises(ValueError, match=r"initial_size .* anchor_size, \(9, 30\), got \(12"):
        ModelConfig(anchor_size=(9, 30))
    with pytest.raises(ValueError, match="encoder_dims"):
        ModelConfig(encoder_dims=(64, -1))
