from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.memory_truth import load_memory_truth
from silot_gym.model import SILOT
from silot_gym.model.networks import CELL_SIZE, cell_origins
from silot_gym.objects import Objects
from silot_gym.play.config import PlayConfig
from silot_gym.play.step import PlayStep
from silot_gym.play.tracker import SlotTracker
from tests.scene import blobs, small_model, tracked
from tests.tiny import TINY

DATA = Path(__file__).parents[2] / "benchmarks" / "data"
PLAIN_TORCH = PlayConfig(engine="torch")


def discovered(
    model: SILOT, frames: Tensor, objects: Objects, play: PlayConfig = PLAIN_TORCH
) -> Objects:
    """What a step of play finds beside tracked objects; those that are absent left out."""
    step = PlayStep(model, play)
    image = step._unexplained(frames, objects, model.boxes(objects))
    found = step._discover(image, objects)
    if found is None:
        return model.empty_objects(len(frames), 0)
    return found


@pytest.mark.parametrize("game", ["Pong", "SpaceInvaders"])
def test_plain_play_is_the_models_own_recursion(game: str) -> None:
    checkpoint = replace(Checkpoint.load(game), play=PlayConfig.plain())
    frames = load_memory_truth(DATA / f"{game}.npz").rgb()[0, :6]
    model, tracker = checkpoint.model, SlotTracker(checkpoint)
    objects = model.empty_objects(1, checkpoint.num_slots)
    for frame in frames:
        slots = tracker.step(frame[None])
        with torch.no_grad():
            image = checkpoint.frames.prepare(torch.from_numpy(frame[None]))
            objects = model.step(image, objects).objects
        present = (objects.presence >= PlayConfig().presence_threshold).numpy()
        assert np.array_equal(slots.track_id >= 0, present)
        boxes = model.boxes(objects).clamp(min=0)
        boxes = torch.minimum(boxes, torch.tensor([160.0, 210, 160, 210])).numpy()
        np.testing.assert_allclose(slots.boxes[present], boxes[present], atol=1e-3)
        np.testing.assert_allclose(
            slots.presence[present], objects.presence.numpy()[present], atol=1e-4
        )


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
    found = discovered(model, frames, objects)
    everywhere, _ = model.discovery(blobs(new, height=96, width=120), model.empty_objects(1))
    assert found.presence.shape == (2, 6)
    assert not found.presence[1].any()  # all that is there is known
    grid = everywhere.presence[0].unflatten(0, (8, 10))
    near = grid[row - 1 : row + 2, column - 1 : column + 1]
    torch.testing.assert_close(found.presence[0], near.flatten())


def test_where_nothing_is_new_nothing_is_looked_at() -> None:
    model = small_model()
    assert PlayStep(model, PLAIN_TORCH)._discover(blobs(), model.empty_objects(1)) is None
    play = PlayStep(model, PLAIN_TORCH)
    objects, boxes = play(blobs(), blobs().amax(1) > 0, model.empty_objects(1))
    assert not objects.presence.any() and boxes.isfinite().all()


def test_nothing_is_found_only_by_cells_that_are_left_out() -> None:
    """A cell's object may have its centre half a cell outside of it, where others begin."""
    model = small_model()
    for x in range(24, 49):
        frame = torch.zeros(1, 3, 72, 72)
        frame[..., x, x] = 1
        found = discovered(model, frame, model.empty_objects(1))
        everywhere, _ = model.discovery(frame, model.empty_objects(1))
        origin = cell_origins(6, 6, frame.device)
        may = ((x + 0.5 - origin - CELL_SIZE / 2).abs() < CELL_SIZE).all(-1)
        torch.testing.assert_close(found.presence[0], everywhere.presence[0, may])


@pytest.mark.parametrize("dense_cells", [0, 10**9])  # neighbourhoods, and whole frames
@pytest.mark.parametrize("scales", [(1,), (1, 2)])
def test_with_nothing_tracked_all_that_is_there_is_found(
    scales: tuple[int, ...], dense_cells: int
) -> None:
    model = small_model(replace(TINY, scales=scales))
    frame = torch.rand(2, 3, 50, 83) + 0.01
    full, _ = model.discovery(frame, model.empty_objects(2))
    play = replace(PLAIN_TORCH, dense_cells=dense_cells)
    some = discovered(model, frame, model.empty_objects(2), play)
    for name in ("presence", "position", "what", "anchor"):
        torch.testing.assert_close(getattr(some, name), getattr(full, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("presence", "looked_at"), [(0.4, True), (0.6, False)])
def test_only_objects_that_are_surely_there_explain_what_is_there(
    presence: float, looked_at: bool
) -> None:
    model = small_model()
    objects = model.empty_objects(1)
    objects = replace(objects, anchor=torch.full_like(objects.anchor, 24.0))  # boxes of 12 pixels
    objects.position[:, 0] = 34.0
    objects.presence[:, 0] = presence
    found = discovered(model, blobs((30, 30)), objects)
    assert bool(found.presence.any()) == looked_at


def test_discovery_does_not_see_what_is_tracked() -> None:
    """A ball beside a paddle would lose its cell to the paddle."""
    model = small_model()
    torch.manual_seed(0)
    paddle, ball = (30, 30), (42, 30)
    objects = model.empty_objects(1)
    objects = replace(objects, anchor=torch.full_like(objects.anchor, 16.0))  # boxes of 8 pixels
    objects.position[:, 0] = torch.tensor(paddle) + 4.0
    objects.presence[:, 0] = 1
    beside = discovered(model, blobs(paddle, ball), objects)
    alone = discovered(model, blobs(ball), model.empty_objects(1))
    torch.testing.assert_close(beside.presence, alone.presence)
    torch.testing.assert_close(beside.what, alone.what)


def test_duplicates_are_those_of_fitted_boxes() -> None:
    """Of objects around the same things only the most present goes on, or of equals the first."""
    one, other, third = [10, 10, 20, 20], [14, 10, 24, 20], [40, 10, 50, 20]  # .43 of one and other
    presence = torch.tensor([[0.7, 0.8, 0.9, 0.0, 0.6, 0.6]])
    boxes = torch.tensor([[one, one, other, one, third, third]]).float()
    model = small_model()
    found = replace(model.empty_objects(1, 6), presence=presence)
    for iou, left in ((0.5, [0, 0.8, 0.9, 0, 0.6, 0]), (0.4, [0, 0, 0.9, 0, 0.6, 0])):
        step = PlayStep(model, replace(PLAIN_TORCH, duplicate_iou=iou))
        torch.testing.assert_close(step._suppress(found, boxes).presence, torch.tensor([left]))


def test_what_is_left_out_in_one_stream_changes_nothing_in_another() -> None:
    model = small_model()
    frames = torch.cat([blobs((20, 20), (40, 30)), blobs((8, 8)), blobs()])
    lasts = [tracked(model, frames[:1], 6), model.empty_objects(1, 6), model.empty_objects(1, 6)]
    foreground, play = frames.amax(1) > 0, PlayStep(model, PLAIN_TORCH)
    together, _ = play(frames, foreground, Objects.concatenate(lasts))
    for lane, last in enumerate(lasts):
        only = slice(lane, lane + 1)
        alone, _ = play(frames[only], foreground[only], last)
        torch.testing.assert_close(alone.presence[0], together.presence[lane])
        there = alone.presence[0] > 0
        torch.testing.assert_close(alone.position[0][there], together.position[lane][there])
