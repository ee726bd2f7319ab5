"""Games that behave otherwise, on the emulator's own frames."""

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from silot_gym.atari import PooledFrames, resolve_game
from silot_gym.evaluation.changed_dynamics import LazyEnemy, StoppedCars


def frames_of(env: gym.Env, steps: int) -> NDArray[np.uint8]:
    env.reset(seed=0)
    return np.stack([env.step(0)[0] for _ in range(steps)])


def base(game: str, frameskip: int = 1) -> gym.Env:
    return gym.make(f"ALE/{resolve_game(game)}-v5", frameskip=frameskip)


def lanes_that_move(frames: NDArray[np.uint8]) -> list[bool]:
    """Of Freeway's ten lanes, from the lowest; beside the chicken, which is in columns 40 to 55."""
    return [
        bool((frames[1:, top : top + 12, 60:] != frames[:1, top : top + 12, 60:]).any())
        for top in range(168, 23, -16)
    ]


@pytest.mark.parametrize("cars", [None, [0, 3, 9]])
def test_cars_stand_still(cars: list[int] | None) -> None:
    assert lanes_that_move(frames_of(PooledFrames(base("Freeway")), 60)) == [True] * 10
    stopped = StoppedCars(base("Freeway")) if cars is None else StoppedCars(base("Freeway"), cars)
    moves = lanes_that_move(frames_of(PooledFrames(stopped), 60))
    assert moves == [cars is not None and lane not in cars for lane in range(10)]


def test_the_enemy_stands_unless_the_ball_flies_towards_it() -> None:
    enemy, ball = (213, 130, 74), (236, 236, 236)

    def moves(env: gym.Env) -> list[int]:
        """In how many frames the enemy moves while the ball flies away, and while it comes."""
        count = [0, 0]
        seen: list[tuple[int, float]] = []
        for frame in frames_of(env, 1200):
            paddle, _ = (frame[34:194] == enemy).all(-1).nonzero()
            _, x = (frame[34:194] == ball).all(-1).nonzero()
            seen = [*seen[-2:], (paddle.max(), x.mean())] if len(paddle) and len(x) else []
            if len(seen) == 3:
                (_, x0), (last, x1), (now, x2) = seen
                if (x1 < x0) == (x2 < x1):
                    count[int(x2 < x1)] += int(now != last)
        return count

    usual, lazy = moves(base("Pong")), moves(LazyEnemy(base("Pong")))
    assert usual[0] > 100
    assert lazy[0] < 0.05 * usual[0]
    assert lazy[1] > 10


def test_a_game_that_is_not_meant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected gym.make\(\"ALE/Pong-v5\", frameskip=1\)"):
        LazyEnemy(base("Freeway"))
    with pytest.raises(ValueError, match="got ALE/Pong-v5, frameskip 4"):
        LazyEnemy(base("Pong", 4))
    with pytest.raises(ValueError, match="expected cars of 0 to 9"):
        StoppedCars(base("Freeway"), [10])
