"""Tracked objects for Gymnasium's vector environments."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from silot_gym.background import Region
from silot_gym.checkpoint import Checkpoint
from silot_gym.compatibility import frames_of_vector
from silot_gym.observations import ATTRIBUTES, SlotObserver, put
from silot_gym.play.config import PlayConfig

__all__ = ["SILOTObjectVectorWrapper"]

if TYPE_CHECKING:
    _VectorWrapper = VectorWrapper[Any, Any, Any, Any, Any]
else:
    # In gymnasium 1.2, which Ray pins, the class takes no types.
    _VectorWrapper = VectorWrapper


class SILOTObjectVectorWrapper(_VectorWrapper):
    """Observes the tracked objects of several environments, in one forward pass a step.

    Each environment's observation is that of a `SILOTObjectWrapper` of its own; see there for
    rows and columns. `infos["objects"]` holds the arrays of all of them, (N, K, ...). Takes
    `SyncVectorEnv`, `AsyncVectorEnv` and ale-py's `AtariVectorEnv` (with `grayscale=False,
    stack_num=1` and the height and width of the game's own frames), in every autoreset mode:

    - next step: a lane's tracks are forgotten in the step that resets it;
    - same step: `infos["final_obs"]` and `infos["final_info"]["objects"]` hold the last observation
      and objects of an episode that has ended, the others are the first ones of the next episode;
    - disabled: lanes in the `reset_mask` of `reset` are forgotten, the others stay as they are.

    Example:
        >>> envs = SyncVectorEnv([lambda: silot_gym.make_atari("SpaceInvaders")] * 2)
        >>> envs = SILOTObjectVectorWrapper(envs, num_slots=50)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations.shape
        (2, 50, 40)
        >>> envs.close()
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        checkpoint: str | Path | Checkpoint | None = None,
        *,
        num_slots: int | None = None,
        attributes: Sequence[str] = ATTRIBUTES,
        flatten: bool = False,
        include_pixels: bool = False,
        ignore: Sequence[Region] | None = None,
        play: PlayConfig | Mapping[str, Any] | None = None,
        device: str = "cpu",
        strict: bool = False,
    ) -> None:
        """Wraps environments whose observations are RGB frames; see `SILOTObjectWrapper`.

        Raises:
            CheckpointError: The checkpoint is missing or damaged.
            ValueError: An argument or the environments' observation space doesn't fit.
        """
        super().__init__(env)
        space = env.single_observation_space
        _check_native(env)
        self._stacked = len(space.shape or ()) == 4  # AtariVectorEnv's stack, of one frame
        if self._stacked:
            if not isinstance(space, Box) or space.shape[0] != 1:
                raise ValueError(
                    f"expected frames that are not stacked, got {space.shape}: make the "
                    "environments with stack_num=1, tracks remember what was before"
                )
            space = Box(space.low[0], space.high[0], dtype=space.dtype.type)
        # ale-py's environments share their metadata, whose mode may be that of another one.
        mode = getattr(env.unwrapped, "autoreset_mode", None) or env.metadata.get("autoreset_mode")
        self._mode = AutoresetMode.NEXT_STEP if mode is None else AutoresetMode(mode)
        self._observer = SlotObserver(
            checkpoint,
            frames_of_vector(env),
            space,
            lanes=env.num_envs,
            num_slots=num_slots,
            attributes=attributes,
            flatten=flatten,
            include_pixels=include_pixels,
            ignore=ignore,
            play=play,
            device=device,
            strict=strict,
        )
        self.slot_layout = self._observer.layout
        self.single_observation_space = self._observer.space
        self.observation_space = batch_space(self._observer.space, env.num_envs)
        self._ended = np.zeros(env.num_envs, bool)
        self._observed: Any = None

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Forgets the tracks of the lanes that are reset, then looks at their first frames."""
        mask = (options or {}).get("reset_mask")
        if mask is not None and (self._observed is None or not np.any(mask)):
            raise ValueError("expected a full reset first, and a reset_mask of some lanes")
        frames, infos = self.env.reset(seed=seed, options=options)
        frames = self._frames(frames)
        if mask is None:
            self._ended[:] = False
            self._observer.tracker.reset()
            self._observed, self._slots = self._observer.observe(frames)
        else:
            lanes = np.flatnonzero(mask).tolist()
            self._ended[lanes] = False
            self._observer.tracker.reset(lanes)
            begun, slots = self._observer.observe(frames[lanes], lanes)
            put(self._observed, lanes, begun)
            self._slots = self._slots.put(lanes, slots)
        return self._copy(), infos | {"objects": self._observer.info(self._slots)}

    def close(self, **kwargs: Any) -> None:
        """Releases the model and closes the environments."""
        self._observer.close()
        super().close(**kwargs)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Acts, then follows the objects into the next frames."""
        frames, rewards, terminations, truncations, infos = self.env.step(actions)
        frames = self._frames(frames)
        ends = np.logical_or(terminations, truncations)
        if self._mode == AutoresetMode.SAME_STEP:
            finals = {
                int(lane): self._frames(np.asarray(infos["final_obs"][lane])[None])[0]
                for lane in np.flatnonzero(ends)
            }
            self._observed, self._slots, ended, last = self._observer.observe_through_resets(
                frames, finals
            )
            if ended:
                final_info = infos.get("final_info", {}) | {"objects": self._observer.info(last)}
                final_info["_objects"] = ends
                infos = infos | {"final_obs": self._final(ended), "final_info": final_info}
        else:
            if self._mode == AutoresetMode.NEXT_STEP and self._ended.any():
                self._observer.tracker.reset(np.flatnonzero(self._ended).tolist())
            self._observed, self._slots = self._observer.observe(frames)
        self._ended = ends
        infos = infos | {"objects": self._observer.info(self._slots)}
        return self._copy(), rewards, terminations, truncations, infos

    def _frames(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames (N, height, width, 3)."""
        return frames[:, 0] if self._stacked else frames

    def _copy(self) -> Any:
        """The observations, for the caller to keep."""
        if isinstance(self._observed, dict):
            return {name: part.copy() for name, part in self._observed.items()}
        return self._observed.copy()

    def _final(self, ended: dict[int, Any]) -> NDArray[np.object_]:
        """Last observations by lane, None in lanes that go on."""
        final = np.full(self.num_envs, None, object)
        for lane, observation in ended.items():
            final[lane] = observation
        return final


def _check_native(env: VectorEnv[Any, Any, Any]) -> None:
    """Refuse ale-py's vector of environments in its own default form, small grey stacks.

    Raises:
        ValueError: Its frames are not those of the game.
    """
    if type(env.unwrapped).__name__ != "AtariVectorEnv":
        return
    shape = env.single_observation_space.shape or ()
    if shape[0] != 1 or shape[3:] != (3,) or shape[1] == shape[2]:
        raise ValueError(
            f"expected the game's own frames, (1, height, width, 3), got {shape}: make ale-py's "
            "vector environment with grayscale=False, stack_num=1, img_height=210, img_width=160 "
            "(or the height and width of the game), or gym.make_vec(..., vectorization_mode='sync')"
        )
