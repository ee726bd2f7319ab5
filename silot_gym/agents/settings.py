"""Hyper-parameters of agents: one dataclass for each algorithm of Stable-Baselines3."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import LinearSchedule
from torch import nn

Algorithm = Literal["ppo", "dqn", "a2c"]


@dataclass(frozen=True)
class Settings:
    """What the three algorithms have in common.

    Names of fields are those of Stable-Baselines3's arguments, unless the field says otherwise.
    """

    algorithm: ClassVar[type[BaseAlgorithm]]
    own: ClassVar[frozenset[str]] = frozenset(
        {"anneal", "normalize_rewards", "net_arch", "deterministic"}
    )
    """Fields that are no arguments of Stable-Baselines3's algorithm."""

    learning_rate: float = 1e-3
    gamma: float = 0.99
    anneal: bool = True
    """Whether the learning rate, and PPO's clip range, fall linearly to 0 over the training."""
    normalize_rewards: bool = True
    """Whether rewards are divided by the running standard deviation of the return."""
    net_arch: tuple[int, ...] = (256, 256)
    """Hidden layers behind the view: of policy and value each, or of DQN's Q."""
    deterministic: bool = False
    """Whether the best action is taken in evaluation; if not, one is drawn as in training."""

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that no algorithm takes."""
        for name, value in vars(self).items():
            least = 0 if isinstance(value, float) or name == "learning_starts" else 1
            for number in value if isinstance(value, tuple) else [value]:
                if isinstance(value, tuple) and type(number) is not int:
                    raise ValueError(f"expected whole numbers in {name}, got {number!r}")
                if type(number) is not bool and not least <= number < math.inf:
                    raise ValueError(f"expected {name} of at least {least}, got {number}")

    def arguments(self, steps: int, envs: int) -> dict[str, Any]:
        """Keyword arguments of the algorithm, all but `policy_kwargs`.

        Args:
            steps: Steps of the whole training, those of all environments together.
            envs: Environments side by side.
        """
        return {
            name: value for name, value in dataclasses.asdict(self).items() if name not in self.own
        }

    def network(self) -> dict[str, Any]:
        """`policy_kwargs`, without the network that reads the observations."""
        return {"net_arch": list(self.net_arch), "activation_fn": nn.ReLU}


@dataclass(frozen=True)
class PPOSettings(Settings):
    """Proximal policy optimization; the defaults are for vectors and sets of objects."""

    algorithm = PPO

    n_steps: int = 128
    """Steps of each environment between updates."""
    batch_size: int = 256
    n_epochs: int = 10
    """More than RL Zoo's 4 for Atari: updates of these small networks cost next to nothing."""
    gae_lambda: float = 0.8
    """Less than the usual .95: what an action is worth shows within a few steps in Boxing, and the
    value of the state tells of the rest, which Freeway needs."""
    clip_range: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5

    @classmethod
    def for_pixels(cls) -> "PPOSettings":
        """RL Zoo's values for Atari."""
        return cls(
            learning_rate=2.5e-4,
            n_epochs=4,
            gae_lambda=0.95,
            clip_range=0.1,
            normalize_rewards=False,
            net_arch=(),
        )

    def arguments(self, steps: int, envs: int) -> dict[str, Any]:
        """Keyword arguments of `PPO`."""
        return super().arguments(steps, envs) | {
            "learning_rate": _schedule(self.learning_rate, self.anneal),
            "clip_range": _schedule(self.clip_range, self.anneal),
            "batch_size": min(self.batch_size, self.n_steps * envs),
        }


@dataclass(frozen=True)
class A2CSettings(Settings):
    """Advantage actor-critic; the defaults are for vectors and sets of objects."""

    algorithm = A2C

    learning_rate: float = 7e-4
    n_steps: int = 16
    """Steps of each environment between updates."""
    gae_lambda: float = 1.0
    ent_coef: float = 0.01
    vf_coef: float = 0.25
    max_grad_norm: float = 0.5

    @classmethod
    def for_pixels(cls) -> "A2CSettings":
        """RL Zoo's values for Atari."""
        return cls(n_steps=5, anneal=False, normalize_rewards=False, net_arch=())

    def arguments(self, steps: int, envs: int) -> dict[str, Any]:
        """Keyword arguments of `A2C`."""
        return super().arguments(steps, envs) | {
            "learning_rate": _schedule(self.learning_rate, self.anneal)
        }


@dataclass(frozen=True)
class DQNSettings(Settings):
    """Deep Q-learning; the defaults are for vectors and sets of objects."""

    algorithm = DQN

    learning_rate: float = 3e-4
    anneal: bool = False
    normalize_rewards: bool = False
    """Left off: rewards in the replay buffer would have been divided by different numbers."""
    deterministic: bool = True
    buffer_size: int = 100_000
    learning_starts: int = 10_000
    """Steps with random actions before the first update."""
    batch_size: int = 128
    train_freq: int = 4
    """Steps of all environments side by side between updates."""
    gradient_steps: int = 4
    """Updates each time."""
    target_update_interval: int = 2_000
    """Steps of all environments together between copies of the network to its target."""
    exploration_fraction: float = 0.1
    """Share of the training over which the share of random actions falls."""
    exploration_final_eps: float = 0.02

    @classmethod
    def for_pixels(cls) -> "DQNSettings":
        """RL Zoo's values for Atari."""
        return cls(
            learning_rate=1e-4,
            net_arch=(),
            learning_starts=100_000,
            batch_size=32,
            gradient_steps=1,
            target_update_interval=1_000,
            exploration_final_eps=0.01,
        )


SETTINGS: dict[Algorithm, type[PPOSettings] | type[A2CSettings] | type[DQNSettings]] = {
    "ppo": PPOSettings,
    "a2c": A2CSettings,
    "dqn": DQNSettings,
}


def _schedule(start: float, anneal: bool) -> float | LinearSchedule:
    return LinearSchedule(start, 0.0, 1.0) if anneal else start
