from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from silot_gym.atari import make_atari
from silot_gym.calibration.types import (
    carried_over,
    find_types,
    sightings,
    types_of_episodes,
)
from silot_gym.checkpoint import Checkpoint
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts import EpisodeBuilder
from silot_gym.rollouts.policies import RandomPolicy

A = 6
TRACKS, LENGTH = 20, 30
"""Tracks of each type, and frames of each track."""


def world(
    centres: list[tuple[float, float]], seed: int = 0, noise: float = 0.03, wobble: float = 0.5
) -> tuple[dict[str, NDArray[np.generic]], NDArray[np.int64]]:
    """Sightings of objects whose types differ in two features, and the type of each.

    A third feature changes widely within each track, and tells nothing.
    """
    rng = np.random.default_rng(seed)
    count = TRACKS * len(centres)
    kind = np.repeat(np.arange(count) % len(centres), LENGTH)
    what = rng.normal(0, noise, (len(kind), A))
    what[:, :2] += np.array(centres)[kind]
    what[:, 2] += rng.normal(0, wobble, len(kind))
    # One object of each type is there at a time.
    frame = np.arange(count)[:, None] // len(centres) * LENGTH + np.arange(LENGTH)
    seen = {
        "what": what.astype(np.float32),
        "size": np.full((len(kind), 2), 0.1),
        "track": np.repeat(np.arange(count), LENGTH),
        "frame": frame.ravel(),
    }
    return seen, kind


CENTRES = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)]


def partition(labels: NDArray[np.int64]) -> list[int]:
    """Labels in which the first that occurs is 0, the next one 1, ..."""
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[number].tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_types_are_found_and_counted(count: int) -> None:
    seen, kind = world(CENTRES[:count])
    types = find_types(**seen)
    assert len(types) == count
    assert types.max_count.tolist() == [1] * count
    found = types.classify(seen["what"], seen["size"])
    assert np.mean(np.array(partition(found)) == partition(kind)) > 0.99


def test_objects_that_differ_in_size_alone_are_of_two_types() -> None:
    seen, kind = world(CENTRES[:1] * 2)
    seen["size"] = np.where(kind[:, None] == 0, 0.03, 0.1) * np.ones(2)
    types = find_types(**seen)
    assert len(types) == 2
    assert partition(types.classify(seen["what"], seen["size"])) == partition(kind)


def test_what_changes_within_tracks_makes_no_types() -> None:
    seen, kind = world(CENTRES[:2], wobble=1)
    types = find_types(**seen)
    assert len(types) == 2
    assert partition(types.classify(seen["what"], seen["size"])) == partition(kind)


def test_the_frequent_type_comes_first_and_the_most_at_once_are_counted() -> None:
    seen, kind = world(CENTRES[:2])
    # Two objects of type 1 in each frame, and one of type 0 in the first half.
    seen["frame"] = np.where(kind == 1, seen["frame"] // (2 * LENGTH) * LENGTH, seen["frame"])
    seen["frame"] += np.where(kind == 1, np.arange(len(kind)) % LENGTH, 0)
    kept = (kind == 1) | (seen["track"] < TRACKS)
    types = find_types(**{name: value[kept] for name, value in seen.items()})
    what = np.pad([CENTRES[1], CENTRES[0]], ((0, 0), (0, A - 2)))
    in_order = types.classify(what, np.full((2, 2), 0.1))
    assert in_order.tolist() == [0, 1]
    assert types.max_count.tolist() == [2, 1]


def test_numbers_and_order_of_what_is_seen_do_not_matter() -> None:
    seen, _ = world(CENTRES)
    types = find_types(**seen)
    rng = np.random.default_rng(1)
    renumbered = seen | {
        name: rng.permutation(seen[name].max() + 1)[seen[name]] * 7 for name in ("track", "frame")
    }
    shuffled = rng.permutation(len(seen["what"]))
    again = find_types(**{name: value[shuffled] for name, value in renumbered.items()})
    assert len(again) == len(types)
    first, second = (found.classify(seen["what"], seen["size"]) for found in (types, again))
    assert partition(first) == partition(second)


def test_the_same_is_found_again() -> None:
    seen, _ = world(CENTRES)
    one, two = find_types(**seen), find_types(**seen)
    for name in ("centres", "projection", "max_count"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


def test_as_many_types_as_asked_for() -> None:
    seen, _ = world(CENTRES)
    assert len(find_types(**seen, num_types=2)) == 2


def test_few_objects_are_types_too_and_none_are_an_error() -> None:
    seen, _ = world(CENTRES)
    assert len(find_types(**{name: value[:1] for name, value in seen.items()})) == 1
    with pytest.raises(ValueError, match="objects to find types of, got none"):
        find_types(**{name: value[:0] for name, value in seen.items()})


def test_a_checkpoint_sees_its_objects_in_episodes(tiny_checkpoint: Path) -> None:
    builders = [EpisodeBuilder() for _ in range(2)]
    rng = np.random.default_rng(0)
    for builder in builders:
        for t in range(4):
            builder.add(rng.integers(0, 4, (60, 48, 1), np.uint8).repeat(3, 2) * 60, t - 1)
    episodes = [builder.build() for builder in builders]
    checkpoint = Checkpoint.load(tiny_checkpoint)
    seen = sightings(checkpoint, episodes)
    assert seen.frame.max() <= 7 and len(seen.what) == len(seen.size) == len(seen.track)
    first = set(seen.track[seen.frame < 4]), set(seen.track[seen.frame >= 4])
    assert all(first) and not first[0] & first[1]
    assert types_of_episodes(checkpoint, episodes) is not None
    blind = replace(checkpoint, play=PlayConfig(presence_threshold=1.1))
    assert types_of_episodes(blind, episodes) is None


def test_types_keep_their_numbers_when_another_checkpoint_sees_them() -> None:
    env = make_atari("Pong")
    builder = EpisodeBuilder()
    policy = RandomPolicy(env)
    policy.start(0)
    frame, _ = env.reset(seed=0)
    for t in range(150):
        builder.add(frame, t - 1)
        frame, *_ = env.step(policy.action(frame))
    env.close()
    episode = builder.build()
    old = Checkpoint.load("Pong").with_names({0: "first"})
    assert old.types is not None
    # The other checkpoint looks at the same objects with a mind of its own.
    other = Checkpoint.load("Pong")
    other.model.discovery.what_head[-1].bias.data += 1.0
    types = carried_over(old, other.with_calibration(types=None), [episode])
    assert types.names == old.types.names
    np.testing.assert_array_equal(types.max_count, old.types.max_count)

    trackers = SlotTracker(old), SlotTracker(other.with_calibration(types=types))
    same = []
    for t in range(len(episode)):
        shown = [tracker.step(episode.rgb(t, t + 1)) for tracker in trackers]
        for box, category in zip(shown[0].boxes[0], shown[0].category[0], strict=True):
            at = np.flatnonzero((np.abs(shown[1].boxes[0] - box) < 1).all(-1))
            if category >= 0 and len(at):
                same.append(shown[1].category[0, at[0]] == category)
    assert len(same) > 200 and np.mean(same) > 0.95

    with pytest.raises(ValueError, match="expected types to carry over"):
        carried_over(old.with_calibration(types=None), other, [episode])
