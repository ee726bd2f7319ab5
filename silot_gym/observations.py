"""Slots in the form that agents observe, the same for all wrappers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from silot_gym.background import Region
from silot_gym.checkpoint import Checkpoint
from silot_gym.compatibility import Known, check_frames, load_checkpoint, named, rgb_size
from silot_gym.object_types import FIND, ObjectTypes
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import SlotTracker, Tracks
from silot_gym.slots import Slots, Tracker

__all__ = ["ATTRIBUTES", "ATTRIBUTE_BOUNDS", "SlotObserver", "slot_layout", "slot_space"]

ATTRIBUTE_BOUNDS: dict[str, tuple[float, float]] = {
    "presence": (0.0, 1.0),
    "where": (0.0, 1.0),
    "velocity": (-1.0, 1.0),
    "depth": (0.0, 1.0),
    "what": (-1.0, 1.0),
    "category": (0.0, 1.0),
}
"""Least and largest value of each attribute that a slot can show."""
ATTRIBUTES = ("presence", "where", "velocity", "depth", "what")
"""Those that are shown unless others are asked for."""


def slot_layout(attributes: Sequence[str], what_dim: int, num_types: int = 0) -> dict[str, slice]:
    """The columns of each attribute in `Slots.table`.

    Raises:
        ValueError: there is no attribute, an unknown one, or one twice; or `category` is asked
            for and there are no types.
    """
    widths = {"presence": 1, "where": 4, "velocity": 2, "depth": 1, "what": what_dim}
    widths["category"] = num_types
    if not attributes or len(set(attributes)) < len(attributes) or not {*attributes} <= {*widths}:
        raise ValueError(f"expected some of {tuple(widths)}, each once, got {tuple(attributes)}")
    if "category" in attributes and num_types == 0:
        raise ValueError(
            "the attribute category needs a checkpoint with types of objects, got one without: "
            f"{FIND}"
        )
    layout, start = {}, 0
    for name in attributes:
        layout[name] = slice(start, start + widths[name])
        start += widths[name]
    return layout


def slot_space(layout: dict[str, slice], num_slots: int, flatten: bool) -> Box:
    """The space of one lane's slots: (K, D) float32, or (K * D,) if flat."""
    width = max(columns.stop for columns in layout.values())
    bounds = np.zeros((2, num_slots, width), np.float32)
    for name, columns in layout.items():
        bounds[..., columns] = np.reshape(ATTRIBUTE_BOUNDS[name], (2, 1, 1))
    low, high = bounds.reshape(2, -1) if flatten else bounds
    return Box(low, high, dtype=np.float32)


class SlotObserver:
    """Frames of several lanes to observations of their slots.

    Attributes:
        frame_size: height and width of the frames.
        layout: the columns of each attribute.
        space: of one lane's observations.
        types: the types of objects, if they are known.
    """

    def __init__(
        self,
        checkpoint: str | Path | Checkpoint | None,
        known: Sequence[Known],
        frames: gym.Space[Any],
        *,
        lanes: int,
        num_slots: int | None,
        attributes: Sequence[str],
        flatten: bool,
        include_pixels: bool,
        ignore: Sequence[Region] | None,
        play: PlayConfig | Mapping[str, Any] | None,
        device: str,
        strict: bool,
        make_tracker: Callable[..., Tracker] = SlotTracker,
    ) -> None:
        """Takes what `SILOTObjectWrapper` takes, raises the same, and sees that the frames fit.

        `known` is what can be told of the frames of each kind of environment that there is among
        the lanes, `frames` the space of one lane's;
        `make_tracker` makes what follows the objects, from the same arguments as `SlotTracker`.
        """
        self.frame_size = rgb_size(frames)
        loaded = load_checkpoint(named(checkpoint), known[0].get("game"), device)
        for kind in known:
            check_frames(loaded.frames, kind, self.frame_size, strict)
        if play is not None:
            loaded = replace(loaded, play=PlayConfig.of(play))
        self._tracker: Tracker | None = make_tracker(
            loaded, lanes, num_slots, self.frame_size, ignore
        )
        self.types = types = self.tracker.types
        self._num_types = 0 if types is None else len(types)
        self.layout = slot_layout(attributes, self.tracker.what_dim, self._num_types)
        slots = slot_space(self.layout, self.tracker.num_slots, flatten)
        self.space = Dict({"slots": slots, "pixels": frames}) if include_pixels else slots
        self._attributes, self._flatten = tuple(attributes), flatten
        self._include_pixels = include_pixels

    @property
    def tracker(self) -> Tracker:
        """What follows the objects.

        Raises:
            RuntimeError: the environment is closed.
        """
        if self._tracker is None:
            raise RuntimeError("the environment is closed")
        return self._tracker

    def clone_tracks(self) -> Tracks:
        """See `SlotTracker.clone_tracks`."""
        assert isinstance(self.tracker, SlotTracker)
        return self.tracker.clone_tracks()

    def restore_tracks(self, tracks: Tracks) -> None:
        """See `SlotTracker.restore_tracks`."""
        assert isinstance(self.tracker, SlotTracker)
        self.tracker.restore_tracks(tracks)

    def close(self) -> None:
        """Releases the model."""
        self._tracker = None

    def info(self, slots: Slots, lane: int | None = None) -> dict[str, NDArray[Any]]:
        """What `info["objects"]` says: of one lane, or of all side by side."""
        return objects_info(slots, lane, self.types)

    def observe(
        self, frames: NDArray[np.uint8], lanes: Sequence[int] | None = None
    ) -> tuple[Any, Slots]:
        """Moves the tracks of lanes, all by default, on by a frame each.

        Returns:
            Their observations, one after the other, and their slots.
        """
        slots = self.tracker.step(frames, lanes)
        table = slots.table(self._attributes, self._num_types)
        if self._flatten:
            table = table.reshape(len(table), -1)
        return ({"slots": table, "pixels": frames} if self._include_pixels else table), slots

    def observe_through_resets(
        self, frames: NDArray[np.uint8], finals: Mapping[int, NDArray[np.uint8]]
    ) -> tuple[Any, Slots, dict[int, Any], Slots]:
        """The same where in some lanes an episode has ended and the next one has begun.

        Args:
            frames: of all lanes; of the next episode in lanes that have begun one.
            finals: the last frame of the episode in lanes where one has ended.

        Returns:
            Observations and slots of all lanes; by lane the last observations of the episodes
            that have ended; and the slots of all lanes before the next episodes began.
        """
        lanes = sorted(finals)
        if not lanes:
            observed, slots = self.observe(frames)
            return observed, slots, {}, slots
        last_frames = frames.copy()
        for lane in lanes:
            last_frames[lane] = finals[lane]
        observed, slots = self.observe(last_frames)
        ended = {lane: pick(observed, lane) for lane in lanes}
        self.tracker.reset(lanes)
        begun, first_slots = self.observe(frames[lanes], lanes)
        put(observed, lanes, begun)
        return observed, slots.put(lanes, first_slots), ended, slots


def pick(observed: Any, lane: int) -> Any:
    """A copy of one lane's observation."""
    if isinstance(observed, dict):
        return {name: part[lane].copy() for name, part in observed.items()}
    return observed[lane].copy()


def put(observed: Any, lanes: Sequence[int], others: Any) -> None:
    """Changes the observations of some lanes."""
    if isinstance(observed, dict):
        for name, part in observed.items():
            part[lanes] = others[name]
    else:
        observed[lanes] = others


def objects_info(
    slots: Slots, lane: int | None = None, types: ObjectTypes | None = None
) -> dict[str, NDArray[Any]]:
    """What `info["objects"]` says: of one lane, or of all side by side.

    Args:
        slots: of all lanes.
        lane: one of them.
        types: of the objects; if they have names, each object's name is told, too.
    """
    rows = slice(None) if lane is None else lane
    info: dict[str, NDArray[Any]] = {
        "track_id": slots.track_id[rows],
        "boxes": slots.boxes[rows],
        "presence": slots.presence[rows],
        "velocity": slots.velocity[rows],
        "category": slots.category[rows],
    }
    if types is not None and any(types.names):
        # As objects, because gymnasium's `check_env` can't compare arrays of numpy's own strings.
        # The last name is that of category -1.
        info["name"] = np.array([*types.names, ""], object)[info["category"]]
    return info
