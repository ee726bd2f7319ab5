"""Slots as a vector, for agents with a plain network."""

from collections.abc import Sequence
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from silot_gym.slot_rows import SlotRows

__all__ = ["SlotVectorObservation"]

_LANE = np.arange(1)
"""The one lane of `SlotRows`."""


class SlotVectorObservation(gym.Wrapper[NDArray[np.float32], Any, Any, Any], RecordConstructorArgs):
    """Observes slots as a flat vector ordered by type, for a plain network.

    A weight of the network always reads the same kind of object, and the same object from step to
    step; see `SlotRows` for what stands where. For games with few objects of each type.
    `silot_gym.sb3.SlotVector` shows the same in Stable-Baselines3's vector environments.

    Attributes:
        view: The `SlotRows`.

    Example:
        >>> env = silot_gym.SILOTObjectWrapper(silot_gym.make_atari("Pong"))
        >>> env = SlotVectorObservation(env)
        >>> obs, info = env.reset(seed=0)
        >>> obs.shape == (env.view.rows.sum() * 2 * 7,)
        True
        >>> env.close()
    """

    # Not an `ObservationWrapper`, which would not see the track ids in `info`.

    def __init__(
        self, env: gym.Env[Any, Any], rows: Sequence[int] | None = None, history: int = 2
    ) -> None:
        """Wraps a `SILOTObjectWrapper` that observes presence, where and velocity.

        Args:
            env: Its checkpoint knows types of objects.
            rows: Rows for each type; by default as many as there were objects of the type in a
                frame when types were found.
            history: Steps that are seen, this one included.

        Raises:
            ValueError: The environment doesn't observe what is needed, or an argument is below 1.
        """
        RecordConstructorArgs.__init__(
            self, rows=None if rows is None else list(map(int, rows)), history=history
        )
        super().__init__(env)
        if not env.has_wrapper_attr("slot_layout"):
            raise ValueError(
                f"expected a SILOTObjectWrapper, got {env}: wrap the game in one first"
            )
        layout, types = env.get_wrapper_attr("slot_layout"), env.get_wrapper_attr("types")
        self.view = SlotRows.over(env.observation_space, layout, types, len(_LANE), rows, history)
        self.observation_space = self.view.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode, with no object in any row."""
        slots, info = self.env.reset(seed=seed, options=options)
        self.view.forget(_LANE)
        return self._look(slots, info), info

    def step(
        self, action: Any
    ) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """Acts, and gives objects that are new their rows."""
        slots, reward, terminated, truncated, info = self.env.step(action)
        return self._look(slots, info), reward, terminated, truncated, info

    def _look(self, slots: NDArray[np.float32], info: dict[str, Any]) -> NDArray[np.float32]:
        """The vector of this step."""
        vectors = self.view.observe(slots[None], [info["objects"]], _LANE)  # (1, R * history * 7)
        return vectors.reshape(-1)
