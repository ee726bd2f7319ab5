"""A trained agent on objects, as something that takes frames and gives actions."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from silot_gym.agents.envs import VIEW_ATTRIBUTES, make_envs
from silot_gym.agents.run import AgentRun
from silot_gym.checkpoint import Checkpoint
from silot_gym.observations import objects_info, slot_layout
from silot_gym.play.tracker import SlotTracker
from silot_gym.slot_rows import SlotRows

__all__ = ["AgentPlayer"]


class AgentPlayer:
    """Plays as an agent of `agents/train.py` does, in any environment of its game with RGB frames.

    It follows objects with a tracker of its own, presses FIRE where a life begins, and forgets its
    tracks then, as in the training. Actions are drawn as in evaluation.
    """

    def __init__(self, folder: Path, env: gym.Env[Any, Any]) -> None:
        """Loads an agent; nothing in its folder is executed.

        Args:
            folder: The agent's run.
            env: Of ale-py, the game that it shall play.

        Raises:
            ValueError: The folder holds no agent, one on pixels, components or memory, or one of
                other actions.
            CheckpointError: The checkpoint that it was trained with is gone.
        """
        config = AgentRun(folder).config()
        if config.obs != "slots":
            raise ValueError(f"{folder}: expected an agent on slots, got one on {config.obs}")
        envs = make_envs(config, 1, 0)
        try:
            self._agent = AgentRun(folder).load(envs)
        finally:
            envs.close()
        if self._agent.action_space != env.action_space:
            raise ValueError(
                f"{folder}: expected an agent for {env.action_space}, "
                f"got one for {self._agent.action_space}"
            )
        assert config.checkpoint is not None  # agents on slots have one
        checkpoint = Checkpoint.load(config.checkpoint)
        assert checkpoint.types is not None  # or the view could not have been made
        self.description = f"{config.algo} agent on slots of {config.game}, seed {config.seed}"
        self._deterministic = config.settings.deterministic
        self._tracker = SlotTracker(checkpoint)
        self._types = checkpoint.types
        self._rows = None
        if config.view == "vector":
            layout = slot_layout(VIEW_ATTRIBUTES, self._tracker.what_dim, len(self._types))
            rows = config.rows or self._types.max_count
            self._rows = SlotRows(1, self._tracker.num_slots, layout, rows)
        self._env = env
        meanings = env.get_wrapper_attr("get_action_meanings")()
        self._fire: int | None = meanings.index("FIRE") if "FIRE" in meanings else None

    def start(self, seed: int) -> None:
        """Begins a game; `seed` is that of the actions."""
        self._agent.set_random_seed(seed)
        self._lives: int | None = None

    def action(self, frame: NDArray[np.uint8]) -> int:
        """Chooses the action to take after an RGB frame (H, W, 3) uint8."""
        lives = int(self._env.unwrapped.ale.lives())  # type: ignore[attr-defined]
        begins = self._lives is None or lives < self._lives
        self._lives = lives
        if begins:
            self._tracker.reset()
            if self._rows is not None:
                self._rows.forget(np.arange(1))
            if self._fire is not None:
                return self._fire
        slots = self._tracker.step(frame[None])
        seen = slots.table(VIEW_ATTRIBUTES, len(self._types))
        if self._rows is not None:
            seen = self._rows.observe(seen, [objects_info(slots, 0)], np.arange(1))
        action, _ = self._agent.predict(seen, deterministic=self._deterministic)
        return int(action[0])
