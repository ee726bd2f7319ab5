from dataclasses import replace

import pytest
import torch
from torch import Tensor

from silot_gym.model import SILOT, ModelConfig
from silot_gym.model.networks import CELL_SIZE, cell_corners, with_margin
from silot_gym.model.rendering import is_drawn
from silot_gym.objects import Objects
from silot_gym.training.elbo import ELBO
from tests.tiny import TINY


def small_model(config: ModelConfig = TINY) -> SILOT:
    torch.manual_seed(0)
    return SILOT(config).eval()


def blobs(*places: tuple[int, int], height: int = 60, width: int = 72) -> Tensor:
    """A black frame with a textured square of 8 pixels at each place (x, y)."""
    torch.manual_seed(1)
    square = torch.rand(3, 8, 8)
    frame = torch.zeros(1, 3, height, width)
    for x, y in places:
        frame[0, :, y : y + 8, x : x + 8] = square
    return frame


def tracked(model: SILOT, frame: Tensor, slots: int = 6) -> Objects:
    """Objects in the middle of the frame, all present."""
    objects = model.empty_objects(1, slots)
    torch.manual_seed(2)
    return replace(
        objects,
        position=20 + 30 * torch.rand(1, slots, 2),
        what=torch.randn(1, slots, model.config.what_dim),
        presence=torch.linspace(0.5, 1, slots)[None],
        hidden=torch.randn(1, slots, model.config.hidden_dim),
        track_id=torch.arange(slots)[None],
    )


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
    one, three = small.step(frame, None).objects, large.step(enlarged, None).objects
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
    some = model.step(frame, last, discover=False).objects
    assert (last.presence == 0).any()
    for name in ("presence", "position", "what", "hidden", "track_id"):
        one, two = getattr(full, name), getattr(some, name)
        there = full.presence > 0
        torch.testing.assert_close(one[there], two[there], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full.presence, some.presence)


def test_cells_with_nothing_new_may_be_left_out() -> None:
    model = small_model()
    column, row, size = 5, 3, 8
    known = (20, 70)
    # In two cells, and where the objects of the cells above and below may have their centres.
    new = (column * CELL_SIZE - size // 2, row * CELL_SIZE + 2)
    frames = torch.cat(
        [blobs(new, known, height=96, width=120), blobs(known, height=96, width=120)]
    )
    objects = model.empty_objects(2)
    objects.position[:, 0] = torch.tensor(known) + size / 2
    objects = replace(objects, anchor=torch.full_like(objects.anchor, model.config.anchor_size[0]))
    objects.size_logit[:, 0] = torch.tensor((size - 1) / model.config.anchor_size[0]).logit()
    objects.presence[:, 0] = 1
    found, _ = model.discovery(frames, objects, drawn=is_drawn(frames))
    everywhere, _ = model.discovery(frames, model.empty_objects(2))
    assert found.presence.shape == (2, 6)
    assert not found.presence[1].any()  # all that is drawn there is known
    grid = everywhere.presence[0].unflatten(0, (8, 10))
    near = grid[row - 1 : row + 2, column - 1 : column + 1]
    torch.testing.assert_close(found.presence[0], near.flatten())


def test_nothing_drawn_is_found_only_by_cells_that_are_left_out() -> None:
    """A cell's object may have its centre half a cell outside of it, where others begin."""
    model = small_model()
    for x in range(24, 49):
        frame = torch.zeros(1, 3, 72, 72)
        frame[..., x, x] = 1
        found, _ = model.discovery(frame, model.empty_objects(1), drawn=is_drawn(frame))
        everywhere, _ = model.discovery(frame, model.empty_objects(1))
        corner = cell_corners(6, 6, frame.device)
        may = ((x + 0.5 - corner - CELL_SIZE / 2).abs() < CELL_SIZE).all(-1)
        torch.testing.assert_close(found.presence[0], everywhere.presence[0, may])


@pytest.mark.parametrize("cost", [0, 1e9])  # through neighbourhoods, and through whole frames
@pytest.mark.parametrize("scales", [(1,), (1, 2)])
def test_with_nothing_tracked_all_that_is_drawn_is_found(
    scales: tuple[int, ...], cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("silot_gym.model.discovery._COST_OF_FOUR", cost)
    model = small_model(replace(TINY, scales=scales))
    frame = torch.rand(2, 3, 50, 83) + 0.01
    full, _ = model.discovery(frame, model.empty_objects(2))
    some, _ = model.discovery(frame, model.empty_objects(2), drawn=is_drawn(frame))
    for name in ("presence", "position", "what", "anchor"):
        torch.testing.assert_close(getattr(some, name), getattr(full, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("presence", "looked_at"), [(0.4, True), (0.6, False)])
def test_only_objects_that_are_surely_there_explain_what_is_drawn(
    presence: float, looked_at: bool
) -> None:
    model = small_model()
    objects = model.empty_objects(1)
    objects = replace(objects, anchor=torch.full_like(objects.anchor, 24.0))  # boxes of 12 pixels
    objects.position[:, 0] = 34.0
    objects.presence[:, 0] = presence
    frame = blobs((30, 30))
    found, _ = model.discovery(frame, objects, drawn=is_drawn(frame))
    assert found.presence.any() == looked_at


@pytest.mark.parametrize(("height", "width"), [(72, 96), (50, 83)])
def test_some_cells_are_known_from_their_neighbourhoods(height: int, width: int) -> None:
    discovery = small_model().discovery
    rows, columns = -(-height // CELL_SIZE), -(-width // CELL_SIZE)
    frame = torch.rand(2, 3, height, width)
    top_down = torch.randn(2, TINY.feature_dim, rows, columns)
    everywhere = discovery._features(frame, top_down, None)
    few = torch.rand(2, rows + 1, columns + 1) < 0.1
    for joints in (torch.ones_like(few), few):
        some = discovery._features_of_some(frame, top_down, joints)
        wanted = joints.unfold(1, 2, 1).unfold(2, 2, 1).flatten(3).any(-1).flatten(1)
        torch.testing.assert_close(some, everywhere * wanted[..., None], atol=1e-5, rtol=1e-5)


def test_what_is_left_out_in_one_stream_changes_nothing_in_another() -> None:
    model = small_model()
    frames = torch.cat([blobs((20, 20), (40, 30)), blobs((8, 8)), blobs()])
    lasts = [tracked(model, frames[:1], 6), model.empty_objects(1, 6), model.empty_objects(1, 6)]
    drawn = is_drawn(frames)
    together = model.step(frames, Objects.concatenate(lasts), drawn=drawn).objects
    for lane, last in enumerate(lasts):
        only = slice(lane, lane + 1)
        alone = model.step(frames[only], last, drawn=drawn[only]).objects
        torch.testing.assert_close(alone.presence[0], together.presence[lane])
        there = alone.presence[0] > 0
        torch.testing.assert_close(alone.position[0][there], together.position[lane][there])


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


def test_before_the_first_frame_no_objects_and_empty_slots_are_the_same() -> None:
    model, frame = small_model(), blobs((20, 20))
    from_none, from_empty = model.step(frame, None), model.step(frame, model.empty_objects(1))
    torch.testing.assert_close(from_none.objects.presence, from_empty.objects.presence)
    torch.testing.assert_close(from_none.objects.position, from_empty.objects.position)


def test_a_propagated_object_keeps_nearby_cells_informed() -> None:
    model, frame = small_model(), blobs((20, 20))
    none, _ = model.discovery(frame, model.empty_objects(1))
    some, _ = model.discovery(frame, tracked(model, frame))
    changed = (none.presence != some.presence)[0].unflatten(0, (5, 6))
    assert changed.any()
    far = replace(tracked(model, frame), position=torch.full((1, 6, 2), -500.0))
    away, _ = model.discovery(frame, far)
    torch.testing.assert_close(none.presence, away.presence)


def test_reconstruct_repeats_step() -> None:
    model = small_model()
    video = torch.rand(2, 4, 3, 48, 48)
    objects, _ = model.reconstruct(video)
    last = None
    for frame, expected in zip(video.unbind(1), objects, strict=True):
        last = model.step(frame, last, drawn=is_drawn(frame)).objects
        torch.testing.assert_close(last.presence, expected.presence)
        torch.testing.assert_close(last.position, expected.position)


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
