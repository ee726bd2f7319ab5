"""What chooses the actions of a rollout."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

__all__ = ["Policy", "RandomPolicy", "SavedPolicy"]

_LONGEST_HOLD = 8  # steps


class Policy(Protocol):
    """Chooses actions; the same seed and frames give the same actions."""

    description: str

    def start(self, seed: int) -> None:
        """Begins an episode; `seed` is below 2**32."""

    def action(self, frame: NDArray[np.uint8]) -> int:
        """Chooses the action to take after an RGB frame (H, W, 3) uint8."""


class RandomPolicy:
    """Uniformly random actions, each held for a random 1 to 8 steps.

    Holding them takes the player further through the screen than a new action at each step.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Takes the number of actions from the environment."""
        assert isinstance(env.action_space, spaces.Discrete)
        self.description = f"uniformly random actions, each held for 1 to {_LONGEST_HOLD} steps"
        self._num_actions = int(env.action_space.n)

    def start(self, seed: int) -> None:
        """Begins an episode."""
        self._rng = np.random.default_rng(seed)
        self._steps_left = 0

    def action(self, frame: NDArray[np.uint8]) -> int:
        """Chooses the next action, whatever the frame."""
        if self._steps_left == 0:
            self._held = int(self._rng.integers(self._num_actions))
            self._steps_left = int(self._rng.integers(1, _LONGEST_HOLD + 1))
        self._steps_left -= 1
        return self._held


class SavedPolicy:
    """A PPO, A2C or DQN agent of Stable-Baselines3, acting as it explored in training.

    The agent must have been trained on the frames themselves, uint8 (H, W, 3), unstacked. Its file
    contains pickles, so load only files that you trust.
    """

    def __init__(self, path: str | Path, env: gym.Env[Any, Any]) -> None:
        """Loads an agent.

        Args:
            path: The zip file that the agent's `save` wrote.
            env: The environment to act in.

        Raises:
            ImportError: Stable-Baselines3 is missing.
            ValueError: The file is no such agent, or its spaces aren't those of the environment.
        """
        path = Path(path)
        self._agent = _load_agent(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.description = f"{type(self._agent).__name__} agent {path.name}, sha256 {digest[:16]}"
        frames, actions = env.observation_space, env.action_space
        assert isinstance(frames, spaces.Box)
        # Stable-Baselines3 saves image spaces with channels first, but accepts frames either way.
        channels_first = spaces.Box(0, 255, np.moveaxis(frames.low, 2, 0).shape, np.uint8)
        fits = self._agent.observation_space in (frames, channels_first)
        if not fits or self._agent.action_space != actions:
            raise ValueError(
                f"{path}: expected a policy for {frames} and {actions}, "
                f"got {self._agent.observation_space} and {self._agent.action_space}"
            )

    def start(self, seed: int) -> None:
        """Begins an episode; seeds the global generators, which the agent draws from."""
        self._agent.set_random_seed(seed)

    def action(self, frame: NDArray[np.uint8]) -> int:
        """Draws the agent's next action."""
        return int(self._agent.predict(frame, deterministic=False)[0])


def _load_agent(path: Path) -> Any:
    """Loads an agent of the kind that its settings show."""
    try:
        from stable_baselines3 import A2C, DQN, PPO
    except ImportError as error:
        raise ImportError('saved policies need: pip install "silot_gym[agents]"') from error
    # The file doesn't name its algorithm. Settings tell: the first of these that it has (PPO has
    # gae_lambda, too).
    telling: dict[str, Any] = {"clip_range": PPO, "exploration_fraction": DQN, "gae_lambda": A2C}
    try:
        with zipfile.ZipFile(path) as archive:
            settings = json.loads(archive.read("data"))
        algorithm = next(kind for key, kind in telling.items() if key in settings)
        return algorithm.load(path, device="cpu")
    except Exception as error:  # a foreign file can fail at any step of this in any way
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: expected a PPO, A2C or DQN agent saved by Stable-Baselines3, "
            f"got {type(error).__name__}: {reason}"
        ) from error
