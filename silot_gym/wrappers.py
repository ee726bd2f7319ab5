"""Gymnasium wrappers: pixels in, tracked objects out."""

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from silot_gym.background import Region, within
from silot_gym.checkpoint import Checkpoint
from silot_gym.compatibility import frames_of_env, named, refuse_autoreset
from silot_gym.observations import ATTRIBUTES, SlotObserver
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import Tracks
from silot_gym.slots import Slots

__all__ = ["SILOTObjectWrapper"]


class SILOTObjectWrapper(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Observes the objects of an Atari game, tracked from frame to frame, instead of its pixels.

    An observation has one row for each of K slots. A row shows one object for as long as it is
    tracked, or is empty (all zeros). Its columns (`slot_layout`) and their bounds:

    - `presence`, 1 column in [0, 1];
    - `where`, 4 columns in [0, 1]: centre x, centre y, width, height as fractions of the frame;
    - `velocity`, 2 columns in [-1, 1]: the centre's change since the last step, 0 for a new object;
    - `depth`, 1 column in [0, 1]: larger is nearer;
    - `what`, A columns in [-1, 1]: the appearance;
    - `category`, only where it is asked for: a column for each type of objects, 1 for the row's.

    `info["objects"]` of `reset` and `step` holds, row for row, `track_id` (K,) int64, -1 on an
    empty row; `boxes` (K, 4) float32, (x0, y0, x1, y1) in pixels of the frame; `presence` (K,)
    float32; `velocity` (K, 2) float32, as above; `category` (K,) int64, the number of each object's
    type, -1 on an empty row or if the checkpoint has no types; and, if the checkpoint has names for
    its types, `name` (K,) of str, "" where there is none. All else is zeros on an empty row.

    Note:
        Where the emulator's state is cloned and restored (planning), `clone_tracks` and
        `restore_tracks` keep the tracks with it. In a worker process (`AsyncVectorEnv`,
        `SubprocVecEnv`, a pool) torch is set to one thread. There, a `device` of CUDA needs workers
        that are spawned, not forked.

    Example:
        >>> env = SILOTObjectWrapper(silot_gym.make_atari("SpaceInvaders"))
        >>> obs, info = env.reset(seed=0)
        >>> centres = obs[:, env.slot_layout["where"]][:, :2]
        >>> tracked = info["objects"]["track_id"] >= 0
        >>> bool((centres[tracked] > 0).all() and (centres[~tracked] == 0).all())
        True
        >>> env.close()
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        checkpoint: str | Path | Checkpoint | None = None,
        *,
        num_slots: int | None = None,
        attributes: Sequence[str] = ATTRIBUTES,
        flatten: bool = False,
        include_pixels: bool = False,
        render_overlay: bool = False,
        overlay_scale: int = 4,
        ignore: Sequence[Region] | None = None,
        play: PlayConfig | Mapping[str, Any] | None = None,
        device: str = "cpu",
        strict: bool = False,
    ) -> None:
        """Wraps an environment whose observations are RGB frames.

        Args:
            env: Its observations are uint8 (height, width, 3).
            checkpoint: A checkpoint's folder, the name of a bundled one, or a checkpoint that was
                loaded from a folder; the one bundled for the environment's game by default.
            num_slots: K; the checkpoint's number by default.
            attributes: Which attributes to observe, in this order; `category` needs a checkpoint
                with types of objects.
            flatten: Whether observations are (K * D,) rather than (K, D).
            include_pixels: Whether observations are a dict of `slots` and `pixels`, the frame.
            render_overlay: Whether `render` gives the last observed frame with the objects drawn
                on it, rather than what the environment renders.
            overlay_scale: How many times larger than the frame that picture is.
            ignore: Regions (x0, y0, x1, y1), in fractions of the frame, where nothing is seen.
                By default those where the checkpoint knows score, lives and clocks to be shown,
                and small things that are always the same; `()` gives these back.
            play: How the model is played, as `PlayConfig` or a mapping of some of its fields; as
                the checkpoint says by default.
            device: Where the model runs, as torch names it.
            strict: Whether frames of another kind than those that the checkpoint was made for
                are an error rather than a warning.

        Raises:
            CheckpointError: The checkpoint is missing or damaged.
            ImportError: `render_overlay` is set and Pillow is missing.
            ValueError: An argument or the environment's observation space doesn't fit.
        """
        if ignore is not None:
            within(ignore, 1, 1)  # refuses what is no list of regions
        RecordConstructorArgs.__init__(
            self,
            checkpoint=named(checkpoint),
            num_slots=num_slots,
            attributes=tuple(attributes),
            flatten=flatten,
            include_pixels=include_pixels,
            render_overlay=render_overlay,
            overlay_scale=overlay_scale,
            ignore=None if ignore is None else tuple(map(tuple, ignore)),
            play=None if play is None else asdict(PlayConfig.of(play)),
            device=device,
            strict=strict,
        )
        super().__init__(env)
        refuse_autoreset(env)
        if render_overlay:
            import silot_gym.draw  # noqa: F401  (says so if Pillow is missing)

            if env.render_mode != "rgb_array":
                raise ValueError(
                    "render_overlay needs an environment made with render_mode='rgb_array', "
                    f"got {env.render_mode!r}"
                )
            if overlay_scale < 1:
                raise ValueError(f"expected overlay_scale >= 1, got {overlay_scale}")
        if multiprocessing.parent_process() is not None:
            # Workers would fight for the cores, and a forked one waits forever for torch's threads.
            torch.set_num_threads(1)
        self._observer = SlotObserver(
            checkpoint,
            [frames_of_env(env)],
            env.observation_space,
            lanes=1,
            num_slots=num_slots,
            attributes=attributes,
            flatten=flatten,
            include_pixels=include_pixels,
            ignore=ignore,
            play=play,
            device=device,
            strict=strict,
        )
        self._render_overlay, self._overlay_scale = render_overlay, overlay_scale
        self._frame: NDArray[np.uint8] | None = None
        self._slots: Slots | None = None
        self.types = self._observer.types
        self.slot_layout = self._observer.layout
        self.observation_space = self._observer.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Forgets all tracks, then starts an episode and looks at its first frame."""
        self._observer.tracker.reset()
        observation, info = super().reset(seed=seed, options=options)
        return observation, info | {"objects": self._objects()}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Acts, then follows the objects into the next frame."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, info | {"objects": self._objects()}

    def observation(self, observation: NDArray[np.uint8]) -> Any:
        """A frame to what is observed of it; moves the tracks on by one step."""
        observed, self._slots = self._observer.observe(np.asarray(observation)[None])
        if self._render_overlay:
            self._frame = np.array(observation)
        if isinstance(observed, dict):
            return {"slots": observed["slots"][0], "pixels": observation}
        return observed[0]

    def render(self) -> Any:
        """What the wrapped environment renders, or with `render_overlay` what is observed.

        That is the last observed frame, enlarged, with the objects drawn on it. (The environment
        renders the last screen, where objects that flicker may be missing.)
        """
        if self._frame is None:
            return super().render()
        from silot_gym.draw import draw_objects

        return draw_objects(self._frame, self._objects(), self._overlay_scale)

    def clone_tracks(self) -> tuple[Tracks, Slots | None]:
        """What is tracked now, to come back to with the emulator's state.

        Example:
            >>> env = SILOTObjectWrapper(silot_gym.make_atari("Pong"))
            >>> _ = env.reset(seed=0)
            >>> state, tracks = env.unwrapped.clone_state(), env.clone_tracks()
            >>> ahead = env.step(2)[0]
            >>> env.unwrapped.restore_state(state)
            >>> env.restore_tracks(tracks)
            >>> bool((env.step(2)[0] == ahead).all())
            True
            >>> env.close()
        """
        return self._observer.clone_tracks(), self._slots

    def restore_tracks(self, tracks: tuple[Tracks, Slots | None]) -> None:
        """Goes on from what was tracked when `clone_tracks` gave this, as often as wanted."""
        kept, self._slots = tracks
        self._observer.restore_tracks(kept)

    def close(self) -> None:
        """Releases the model and closes the environment."""
        self._observer.close()
        super().close()

    def _objects(self) -> dict[str, NDArray[Any]]:
        """What `info["objects"]` says of the last frame."""
        assert self._slots is not None
        return self._observer.info(self._slots, 0)
