"""Objects that OC_Atari reads from the console's memory: an oracle for agents."""

import importlib
from types import SimpleNamespace
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from silot_gym.boxes import clip_boxes

__all__ = ["MemoryObjects", "MemoryVecWrapper"]

LAYOUT = {"presence": slice(0, 1), "where": slice(1, 5), "velocity": slice(5, 7)}
STATIC = {"Breakout": ("Block",)}
"""Categories that SILOT takes for background, and that the oracle therefore leaves out, too."""


class MemoryObjects(gym.ObservationWrapper[Any, Any, Any]):
    """Observes what OC_Atari reads from the console's memory, in the form of slots.

    A row (presence, where, velocity) belongs to one place in OC_Atari's list of objects, without
    score and lives. `info["objects"]` holds `track_id`, new each time an object appears, `boxes`,
    `presence`, and `category`, the number of the class in OC_Atari's order.

    Needs the package ocatari, which needs numpy below 2.
    """

    def __init__(self, env: gym.Env[Any, Any], game: str) -> None:
        """Wraps an Atari environment with RGB frames.

        Args:
            env: Of ale-py, with frames (height, width, 3).
            game: As ale-py spells it.
        """
        super().__init__(env)
        self._memory = importlib.import_module(f"ocatari.ram.{game.lower()}")
        counts: dict[str, int] = self._memory.MAX_NB_OBJECTS
        self.categories = [name for name in counts if name not in STATIC.get(game, ())]
        self.max_count = np.array([counts[name] for name in self.categories])
        height, width = (env.observation_space.shape or ())[:2]
        self._extent = np.array([width, height], np.float32)
        low = np.array([0, 0, 0, 0, 0, -1, -1], np.float32)
        rows = int(self.max_count.sum())
        self.observation_space = Box(np.tile(low, (rows, 1)), np.ones((rows, 7), np.float32))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Forgets all objects, then reads those of the first frame."""
        rows = int(self.max_count.sum())
        self._objects = self._memory._init_objects_ram(False)
        self._ids, self._next_id = np.full(rows, -1), 0
        self._centre = np.zeros((rows, 2), np.float32)
        observation, info = super().reset(seed=seed, options=options)
        return observation, info | {"objects": self._info}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Acts, then reads the objects."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, info | {"objects": self._info}

    def observation(self, observation: Any) -> NDArray[np.float32]:
        """The rows of the objects that are there now."""
        ram = self.env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
        self._memory._detect_objects_ram(self._objects, ram, False)
        rows = len(self._ids)
        boxes, category = np.zeros((rows, 4), np.float32), np.full(rows, -1)
        free = np.cumsum(self.max_count) - self.max_count  # the next row of each category
        end = np.cumsum(self.max_count)
        for thing in self._objects:
            if thing.category not in self.categories:
                continue
            number = self.categories.index(thing.category)
            if free[number] < end[number]:
                x, y, w, h = thing.xywh
                boxes[free[number]], category[free[number]] = (x, y, x + w, y + h), number
                free[number] += 1
        boxes = clip_boxes(boxes, int(self._extent[1]), int(self._extent[0]))
        present = np.asarray((boxes[:, 2:] > boxes[:, :2]).all(1))
        new = present & (self._ids < 0)
        self._ids[new] = self._next_id + np.arange(new.sum())
        self._next_id += int(new.sum())
        self._ids[~present] = -1
        boxes[~present], category[~present] = 0, -1
        centre = (boxes[:, :2] + boxes[:, 2:]) / (2 * self._extent)
        velocity = np.where((present & ~new)[:, None], centre - self._centre, np.float32(0))
        self._centre = centre
        self._info = {
            "track_id": self._ids.copy(),
            "boxes": boxes,
            "presence": present.astype(np.float32),
            "category": category,
        }
        size = (boxes[:, 2:] - boxes[:, :2]) / self._extent
        return np.concatenate([present[:, None], centre, size, velocity], 1, dtype=np.float32)


class MemoryVecWrapper(VecEnvWrapper):
    """What views of slots ask of vector environments, for those that observe `MemoryObjects`."""

    def __init__(self, venv: VecEnv) -> None:
        """Wraps environments of one game."""
        super().__init__(venv)
        self.slot_layout = LAYOUT
        self.types = SimpleNamespace(max_count=venv.get_attr("max_count", 0)[0])

    def reset(self) -> VecEnvObs:
        """Starts all episodes."""
        observations = self.venv.reset()
        self.reset_infos = self.venv.reset_infos
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Acts."""
        return self.venv.step_wait()
