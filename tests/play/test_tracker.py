import dataclasses
import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from silot_gym.background import Background
from silot_gym.boxes import clip_boxes
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.memory_truth import load_memory_truth
from silot_gym.observations import ATTRIBUTE_BOUNDS, ATTRIBUTES, slot_layout
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import SlotTracker
from silot_gym.slots import Slots

HEIGHT, WIDTH = 60, 48
PONG = Path(__file__).parents[2] / "benchmarks" / "data" / "Pong.npz"
PADDLE = (92, 186, 92)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint):
    # A high threshold, so that objects fall below it while they are still tracked.
    play = PlayConfig(presence_threshold=0.7)
    return dataclasses.replace(Checkpoint.load(tiny_checkpoint), play=play)


def video(length, lanes=1, seed=0):
    """Frames of noise, (length, lanes, HEIGHT, WIDTH, 3), in which a part is black."""
    frames = np.random.default_rng(seed).integers(0, 256, (length, lanes, HEIGHT, WIDTH, 3), "u1")
    frames[:, :, : HEIGHT // 2] = 0
    return frames


def track(checkpoint, frames):
    tracker = SlotTracker(checkpoint, lanes=frames.shape[1])
    return [tracker.step(frame) for frame in frames]


@pytest.fixture(scope="module")
def tracked(checkpoint):
    """Slots of 25 frames, with objects that are found, kept and lost, and with empty rows."""
    slots = track(checkpoint, video(25))
    ids = np.concatenate([s.track_id for s in slots])
    assert (ids == -1).any() and ids.max() > 20 and (ids[1:] == ids[:-1]).any(1).all()
    return slots


def assert_same(a, b, **tolerance):
    for field in dataclasses.fields(Slots):
        np.testing.assert_allclose(getattr(a, field.name), getattr(b, field.name), **tolerance)


def test_shapes_types_and_bounds(tracked, checkpoint):
    slots, what_dim = tracked[-1], checkpoint.model.config.what_dim
    shapes = {"presence": (), "where": (4,), "velocity": (2,), "depth": (), "what": (what_dim,)}
    for name, shape in shapes.items():
        value = getattr(slots, name)
        assert value.shape == (1, checkpoint.num_slots, *shape)
        assert value.dtype == np.float32
        low, high = ATTRIBUTE_BOUNDS[name]
        for each in tracked:
            assert (getattr(each, name) >= low).all() and (getattr(each, name) <= high).all()
    assert slots.track_id.dtype == np.int64 and slots.boxes.dtype == np.float32


def test_rows_are_empty_below_the_threshold_and_only_there(tracked):
    for slots in tracked:
        empty = slots.track_id == -1
        assert not slots.boxes[empty].any()
        assert (slots.presence[~empty] >= 0.7).all()
        assert not slots.table(ATTRIBUTES)[empty].any()


def test_an_object_keeps_its_row_and_never_returns(tracked):
    row_of, gone, last = {}, set(), set()
    for slots in tracked:
        ids = {int(track): row for row, track in enumerate(slots.track_id[0]) if track >= 0}
        assert not gone & ids.keys()
        assert all(row_of.setdefault(track, row) == row for track, row in ids.items())
        gone |= last - ids.keys()
        last = set(ids)
    assert gone


def test_new_objects_are_numbered_in_slot_order(tracked):
    seen = -1
    for slots in tracked:
        new = slots.track_id[slots.track_id > seen]
        assert new.tolist() == list(range(seen + 1, seen + 1 + len(new)))
        seen = max(seen, *slots.track_id[0])


def test_velocity_is_the_change_of_where(tracked):
    moved = False
    for before, now in itertools.pairwise(tracked):
        same = (now.track_id == before.track_id) & (now.track_id >= 0)
        change = now.where[..., :2] - before.where[..., :2]
        np.testing.assert_array_equal(now.velocity[same], change[same])
        assert not now.velocity[~same].any()
        moved |= now.velocity.any()
    assert moved and not tracked[0].velocity.any()


def test_boxes_agree_with_where(tracked):
    extent = np.array([WIDTH, HEIGHT], np.float32)
    compared = 0
    for slots in tracked:
        centre, size = slots.where[..., :2] * extent, slots.where[..., 2:] * extent
        inside = ((centre > 0) & (centre < extent)).all(-1) & (slots.track_id >= 0)
        boxes = np.concatenate([centre - size / 2, centre + size / 2], -1)
        expected = clip_boxes(boxes, HEIGHT, WIDTH)
        np.testing.assert_allclose(slots.boxes[inside], expected[inside], atol=1e-3)
        compared += inside.sum()
    assert compared > 100


def test_boxes_are_clipped():
    boxes = np.float32([[8, 17, 12, 23], [-4, -4, 4, 4]])
    assert clip_boxes(boxes, height=22, width=11).tolist() == [[8, 17, 11, 22], [0, 0, 4, 4]]


def test_same_frames_same_slots(checkpoint, tracked):
    for again, slots in zip(track(checkpoint, video(25)), tracked, strict=True):
        for field in dataclasses.fields(Slots):
            assert getattr(again, field.name).tobytes() == getattr(slots, field.name).tobytes()


def test_lanes_are_independent_and_reset_alone(checkpoint):
    frames = video(8, lanes=3)  # rounding grows from step to step
    batch = SlotTracker(checkpoint, lanes=3)
    singles = [SlotTracker(checkpoint) for _ in range(3)]
    for step, frame in enumerate(frames):
        if step == 4:
            batch.reset([1])
            singles[1] = SlotTracker(checkpoint)
        together = batch.step(frame)
        for lane, single in enumerate(singles):
            own = Slots(*(v[lane : lane + 1] for v in dataclasses.asdict(together).values()))
            assert_same(own, single.step(frame[lane : lane + 1]), rtol=1e-3, atol=1e-3)


def test_reset_forgets(checkpoint):
    frames = video(8)
    tracker = SlotTracker(checkpoint)
    first = [tracker.step(frame) for frame in frames]
    unlike = tracker.step(frames[0])
    assert (unlike.track_id != first[0].track_id).any()
    tracker.reset()
    for frame, slots in zip(frames, first, strict=True):
        assert_same(tracker.step(frame), slots, rtol=0)


def test_frames_may_be_read_only_and_reversed(checkpoint):
    frame = video(1)[0]
    frame.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = SlotTracker(checkpoint).step(frame)
        reversed_twice = SlotTracker(checkpoint).step(frame[:, ::-1].copy()[:, ::-1])
    assert_same(plain, reversed_twice, rtol=0)


def test_the_frame_is_prepared_as_for_training(checkpoint):
    background = np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8)
    background[5:20] = 40, 50, 60
    frames = dataclasses.replace(
        checkpoint.frames,
        height=HEIGHT,
        width=WIDTH,
        background=Background.of([(10, 20, 30)], [background]),
    )
    grounded = checkpoint.with_calibration(frames=frames)
    frame = video(1)[0]
    on_background = np.where((frame == 0).all(-1, keepdims=True), background, frame)
    plain = SlotTracker(checkpoint).step(frame)
    assert_same(SlotTracker(grounded).step(on_background), plain, rtol=0)
    with pytest.raises(AssertionError):
        assert_same(SlotTracker(checkpoint).step(on_background), plain, atol=1e-3)


@pytest.mark.parametrize("num_slots", [1, 200])
def test_any_number_of_slots(checkpoint, num_slots):
    tracker = SlotTracker(checkpoint, num_slots=num_slots)
    assert [tracker.step(f).track_id.shape for f in video(3)] == [(1, num_slots)] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, HEIGHT, WIDTH, 3), np.float32),
        np.zeros((2, HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH), np.uint8),
        np.zeros((1, HEIGHT + 1, WIDTH, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH, 1), np.uint8),
        None,
    ],
)
def test_wrong_frames_are_refused_with_the_step(checkpoint, wrong):
    tracker = SlotTracker(checkpoint)
    for frame in video(2):
        tracker.step(frame)
    with pytest.raises(ValueError, match=r"^step 2: expected uint8 frames \(1, 60, 48, 3\), got"):
        tracker.step(wrong)


@pytest.mark.parametrize("head", ["discovery.depth_head", "propagation.where_head"])
def test_a_model_that_breaks_down_is_an_error(tiny_checkpoint, head):
    checkpoint = Checkpoint.load(tiny_checkpoint)
    tracker = SlotTracker(checkpoint)
    tracker.step(video(1)[0])
    torch.nn.init.constant_(checkpoint.model.get_submodule(head)[-1].bias, torch.nan)
    with pytest.raises(FloatingPointError, match=r"step 1: the model's .* is not finite"):
        tracker.step(video(1)[0])


def test_steps_are_those_of_all_lanes(checkpoint):
    tracker = SlotTracker(checkpoint, lanes=2)
    frames = video(2, lanes=2)
    tracker.step(frames[0])
    tracker.reset([1])
    tracker.step(frames[1, 1:], lanes=[1])
    assert tracker.steps == 1
    tracker.step(frames[1])
    assert tracker.steps == 2


def test_predictions_go_on_without_frames(tiny_checkpoint):
    checkpoint = Checkpoint.load(tiny_checkpoint)
    # The prior of an untrained model gives everything up.
    torch.nn.init.constant_(checkpoint.model.propagation_prior.presence_head[-1].bias, 10)
    tracker = SlotTracker(checkpoint, lanes=2)
    with pytest.raises(ValueError, match="a step with frames before"):
        tracker.predict()
    frames = video(6, lanes=2)
    for frame in frames[:3]:
        seen = tracker.step(frame)
    for _ in range(3):
        expected = tracker.predict()
        kept = expected.track_id >= 0
        # What is there was there; nothing is found without a frame.
        np.testing.assert_array_equal(expected.track_id[kept], seen.track_id[kept])
        assert (expected.presence <= seen.presence).all()
    assert kept.any() and (expected.boxes[kept] != seen.boxes[kept]).any()


def test_wrong_arguments_are_refused(checkpoint, tiny_checkpoint):
    with pytest.raises(ValueError, match="lanes and num_slots >= 1, got 0"):
        SlotTracker(checkpoint, lanes=0)
    with pytest.raises(ValueError, match="lanes and num_slots >= 1, got 1 and 0"):
        SlotTracker(checkpoint, num_slots=0)
    with pytest.raises(ValueError, match="lanes and num_slots >= 1, got 1 and '8'"):
        SlotTracker(checkpoint, num_slots="8")
    training = Checkpoint.load(tiny_checkpoint)
    training.model.train()
    with pytest.raises(ValueError, match="evaluation mode"):
        SlotTracker(training)


def test_layout_follows_the_attributes():
    assert slot_layout(["presence", "where", "velocity", "depth", "what"], 32) == {
        "presence": slice(0, 1),
        "where": slice(1, 5),
        "velocity": slice(5, 7),
        "depth": slice(7, 8),
        "what": slice(8, 40),
    }
    assert slot_layout(["what", "presence"], 3) == {"what": slice(0, 3), "presence": slice(3, 4)}
    for wrong in ([], ["colour"], ["what", "what"]):
        with pytest.raises(ValueError, match="expected some of"):
            slot_layout(wrong, 3)


def test_table_fills_the_columns_of_the_layout(tracked):
    names = ["what", "where", "presence", "velocity", "depth"]
    slots = tracked[-1]
    layout, table = slot_layout(names, slots.what.shape[-1]), slots.table(names)
    for name in names:
        value = getattr(slots, name)
        np.testing.assert_array_equal(table[..., layout[name]].reshape(value.shape), value)


def test_nothing_is_seen_in_ignored_regions(checkpoint):
    frames = video(3)
    blanked = [frame.copy() for frame in frames]
    for frame in blanked:
        frame[:, : HEIGHT // 4] = 0
        frame[:, HEIGHT // 2 :, WIDTH // 2 :] = 0
    regions = [(0, 0, 1, (HEIGHT // 4) / HEIGHT), ((WIDTH // 2) / WIDTH, 0.5, 1, 1)]
    ignoring = SlotTracker(checkpoint, ignore=regions)
    background = dataclasses.replace(checkpoint.frames.background, hud=tuple(regions))
    frame_config = dataclasses.replace(checkpoint.frames, background=background)
    with_hud = checkpoint.with_calibration(frames=frame_config)
    by_default, given_back = SlotTracker(with_hud), SlotTracker(with_hud, ignore=())
    plain, expected = SlotTracker(checkpoint), SlotTracker(checkpoint)
    for frame, blank in zip(frames, blanked, strict=True):
        slots = expected.step(blank)
        assert_same(ignoring.step(frame), slots, rtol=0)
        assert_same(by_default.step(frame), slots, rtol=0)
        assert_same(given_back.step(frame), plain.step(frame), rtol=0)


@pytest.mark.parametrize("region", [(0, 0, 2, 1), (0.5, 0, 0.2, 1), (0, 0, 1), (-0.1, 0, 1, 1)])
def test_regions_outside_of_the_frame_are_refused(checkpoint, region):
    with pytest.raises(ValueError, match=r"regions \(x0, y0, x1, y1\) in fractions .* got"):
        SlotTracker(checkpoint, ignore=[region])


@pytest.mark.parametrize("lanes", [[], [0, 0], [2], [-1]])
def test_lanes_that_are_not_there_are_refused(checkpoint, lanes):
    tracker = SlotTracker(checkpoint, lanes=2)
    with pytest.raises(ValueError, match="expected some of 2 lanes, each once, got"):
        tracker.step(np.zeros((len(lanes), HEIGHT, WIDTH, 3), np.uint8), lanes)


def test_without_objects_the_reconstruction_is_the_background(tiny_checkpoint):
    loaded = Checkpoint.load(tiny_checkpoint)
    picture = np.random.default_rng(0).integers(1, 256, (210, 160, 3), "u1")
    background = Background.of([(0, 0, 0)], [picture])
    frames = dataclasses.replace(loaded.frames, background=background)
    tracker = SlotTracker(loaded.with_calibration(frames=frames), lanes=2)
    batch = np.stack([picture, picture])
    tracker.step(batch)
    assert np.array_equal(tracker.reconstruct(batch), batch)


def test_an_unknown_level_is_the_background_of_its_reconstruction(tiny_checkpoint):
    loaded = Checkpoint.load(tiny_checkpoint)
    rng = np.random.default_rng(0)
    # Of tiles that differ in shape, so that neither is the other one in other colours.
    known = rng.integers(1, 256, (30, 20, 3), "u1").repeat(7, 0).repeat(8, 1)
    unknown = rng.integers(1, 256, (21, 32, 3), "u1").repeat(10, 0).repeat(5, 1)
    background = Background.of([(0, 0, 0)], [known], max_foreground=0.2)
    frames = dataclasses.replace(loaded.frames, background=background)
    tracker = SlotTracker(loaded.with_calibration(frames=frames), lanes=2)
    for shown in ([known, known], [known, unknown], [unknown, known]):
        batch = np.stack(shown)
        tracker.step(batch)
        assert np.array_equal(tracker.reconstruct(batch), batch)
    with pytest.raises(ValueError, match="expected uint8 frames"):
        tracker.reconstruct(batch[:1])


def noise(rng, t):
    return rng.integers(0, 256, (1, HEIGHT, WIDTH, 3), "u1")


def one_colour(rng, t):
    return np.broadcast_to(rng.integers(0, 256, 3, "u1"), (1, HEIGHT, WIDTH, 3))


def flashes(rng, t):
    return noise(rng, t) if t % 3 else one_colour(rng, t)


@pytest.mark.parametrize("length", [300, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("frames", [noise, one_colour, flashes])
def test_frames_unlike_any_game_break_nothing(checkpoint, frames, length):
    rng, tracker = np.random.default_rng(0), SlotTracker(checkpoint)
    for t in range(length):
        slots = tracker.step(frames(rng, t))
        for name, (low, high) in ((n, ATTRIBUTE_BOUNDS[n]) for n in ATTRIBUTES):
            value = getattr(slots, name)
            assert (low <= value).all() and (value <= high).all(), (name, t)
        boxes = slots.boxes[slots.track_id >= 0]
        assert (boxes >= 0).all() and (boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all(), t
        assert not slots.boxes[slots.track_id < 0].any(), t


@pytest.mark.parametrize("sequence", range(3))
def test_a_paddle_that_jumps_is_the_same_paddle(sequence):
    """Frames of Pong in which the right paddle is moved further than propagation looks."""
    before = load_memory_truth(PONG).rgb()[sequence, 30]
    paddle = (before == PADDLE).all(-1)
    paddle[:34] = False  # the score has its colour
    rows, columns = np.nonzero(paddle)
    after = before.copy()
    after[paddle] = before[100, 80]
    after[rows + (24 if rows.max() < 160 else -24), columns] = PADDLE
    tracker = SlotTracker(Checkpoint.load("Pong"))
    *_, last, now = [tracker.step(frame[None]) for frame in (before, before, after)]
    assert (now.track_id == last.track_id).all()
    moved = np.abs(now.boxes - last.boxes)[0, :, 1] > 18
    assert moved.sum() == 1
    assert np.abs(now.velocity[0, moved, 1] * 210) > 18


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_what_torch_is_set_to_changes_nothing(dtype):
    truth = load_memory_truth(PONG)
    frames = truth.rgb()[0, :6, None]
    expected = track(Checkpoint.load("Pong"), frames)
    torch.set_default_dtype(dtype)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = track(Checkpoint.load("Pong"), frames)
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(expected, found, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(getattr(other, name), value, name)


def test_tracks_can_be_gone_back_to(checkpoint):
    """Also into a room that is being learned, and more than once."""
    frames = video(12, lanes=2)
    tracker = SlotTracker(checkpoint, lanes=2)
    for frame in frames[:5]:
        tracker.step(frame)
    tracks = tracker.clone_tracks()
    first = [tracker.step(frame) for frame in frames[5:]]
    for _ in range(2):
        tracker.restore_tracks(tracks)
        for frame, slots in zip(frames[5:], first, strict=True):
            again = tracker.step(frame)
            for name, value in vars(slots).items():
                np.testing.assert_array_equal(getattr(again, name), value, name)
    with pytest.raises(ValueError, match=r"tracks of \(1, \d+\) lanes and slots, got \(2, \d+\)"):
        SlotTracker(checkpoint).restore_tracks(tracks)


def test_a_name_is_no_checkpoint():
    with pytest.raises(TypeError, match=r"expected a Checkpoint, got 'Pong': Checkpoint.load"):
        SlotTracker("Pong")
