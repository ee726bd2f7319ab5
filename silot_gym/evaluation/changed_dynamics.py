"""Games that behave otherwise than usual, by writing to the console's memory.

Each wrapper goes around an environment of ale-py that was made with `frameskip=1`, and writes
before each of the emulator's frames::

    PooledFrames(StoppedCars(gym.make("ALE/Freeway-v5", frameskip=1)))

is then what `make_atari("Freeway")` is for the game as it is.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from silot_gym.atari import resolve_game

_NUM_CARS = 10
_CAR_WAITS = 33
"""Freeway's address of how many frames the lowest car waits for its next pixel; others follow."""
_WAITING = 2  # frames; any number does that does not reach 0 in one

_BALL_X = 49
"""Pong's address of the ball's column, smaller on the enemy's side."""
_COUNTER = 8
"""Pong's address of a count of frames. The enemy stands where it is a multiple of 8."""
_ENEMY_STANDS = 8


class _ChangedMemory(gym.Wrapper[Any, Any, Any, Any]):
    """Writes to the console's memory before each frame."""

    game: str

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        spec = env.spec
        if spec is None or resolve_game(spec.id) != self.game or spec.kwargs.get("frameskip") != 1:
            raise ValueError(
                f"{type(self).__name__} changes each frame of {self.game}: expected "
                f'gym.make("ALE/{self.game}-v5", frameskip=1), got {spec and spec.id}, frameskip '
                f"{spec and spec.kwargs.get('frameskip')}"
            )
        self._ale: Any = self.unwrapped.ale  # type: ignore[attr-defined]

    def write(self) -> None:
        """Change the memory for the next frame."""
        raise NotImplementedError

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The next frame."""
        self.write()
        return self.env.step(action)


class StoppedCars(_ChangedMemory, RecordConstructorArgs):
    """Freeway in which cars stand still, all of them by default."""

    game = "Freeway"

    def __init__(self, env: gym.Env[Any, Any], cars: Sequence[int] = range(_NUM_CARS)) -> None:
        """Wraps Freeway.

        Args:
            env: made with `frameskip=1`.
            cars: that stand still, of 0 to 9 from the lowest lane to the highest.

        Raises:
            ValueError: it is another game, or has another frame skip, or there is no such car.
        """
        RecordConstructorArgs.__init__(self, cars=list(cars))
        super().__init__(env)
        if not {*cars} <= {*range(_NUM_CARS)}:
            raise ValueError(f"expected cars of 0 to {_NUM_CARS - 1}, got {list(cars)}")
        self._cars = tuple(cars)

    def write(self) -> None:
        """Let the cars wait on."""
        for car in self._cars:
            self._ale.setRAM(_CAR_WAITS + car, _WAITING)


class LazyEnemy(_ChangedMemory, RecordConstructorArgs):
    """Pong in which the enemy's paddle moves only while the ball flies towards it."""

    game = "Pong"

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wraps Pong.

        Args:
            env: made with `frameskip=1`.

        Raises:
            ValueError: it is another game, or has another frame skip.
        """
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._last_x = 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """A new game."""
        self._last_x = 0
        return self.env.reset(**kwargs)

    def write(self) -> None:
        """Let the enemy stand, unless the ball comes nearer."""
        memory = self._ale.getRAM()
        x = int(memory[_BALL_X])
        if x >= self._last_x:
            count = int(memory[_COUNTER])
            self._ale.setRAM(_COUNTER, count - count % _ENEMY_STANDS)
        self._last_x = x
