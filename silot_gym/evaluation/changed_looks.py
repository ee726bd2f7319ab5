"""Games that look otherwise than the rollouts: other colours, less light, noise, lossy films.

How a tracker or an agent takes it that a game looks otherwise than what it was trained on. All
changes are made on RGB frames; nothing here is for training.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from silot_gym.atari import resolve_game
from silot_gym.background import Colour, to_packed

Frames = NDArray[np.uint8]

RED, BLUE, WHITE = (200, 40, 40), (50, 80, 220), (236, 236, 236)
STROBE: tuple[Colour, ...] = (
    (220, 60, 60),
    (220, 200, 60),
    (60, 200, 80),
    (60, 200, 220),
    (80, 90, 230),
    (210, 80, 210),
)
"""Colours that follow one another."""
STROBE_FRAMES = 16
"""Emulator frames for which each of them is shown: four steps."""


@dataclass(frozen=True)
class Region:
    """Rows and columns of a frame, from the first to before the last; all by default."""

    top: int = 0
    bottom: int | None = None
    left: int = 0
    right: int | None = None

    def of(self, frames: Frames) -> Frames:
        """A view of this part of frames (..., H, W, 3)."""
        return frames[..., self.top : self.bottom, self.left : self.right, :]


@dataclass(frozen=True)
class Recoloured:
    """Colours of the screen are replaced by others.

    Frames may be pooled: there a pixel that one screen has in one colour, and the other in another,
    has a mixture of both, the larger of each channel. Mixtures are replaced by the mixture of what
    both colours are replaced by. Where a mixture is itself a colour of the game, it is replaced as
    that.

    Attributes:
        colours: what becomes of colours; others stay.
        among: what else is shown there and may be mixed with them.
        regions: parts of the frame that this is done in, which should not overlap.
    """

    colours: Mapping[Colour, Colour]
    among: Sequence[Colour] = ()
    regions: Sequence[Region] = (Region(),)

    def __call__(self, frames: Frames, time: int) -> Frames:
        """Changes frames (..., H, W, 3), whatever the time."""
        return _replaced(frames, self.colours, self.among, self.regions)


@dataclass(frozen=True)
class Strobing:
    """Colours of the screen are replaced by those of `STROBE`, in turn, each by another.

    Attributes:
        colours: that are replaced.
        among: as in `Recoloured`.
        regions: as in `Recoloured`.
    """

    colours: Sequence[Colour]
    among: Sequence[Colour] = ()
    regions: Sequence[Region] = (Region(),)

    def __call__(self, frames: Frames, time: int) -> Frames:
        """Changes frames (..., H, W, 3) of one time."""
        first = time // STROBE_FRAMES
        shown = (STROBE[(first + i) % len(STROBE)] for i in range(len(self.colours)))
        table = dict(zip(self.colours, shown, strict=True))
        return _replaced(frames, table, self.among, self.regions)


@dataclass(frozen=True)
class Darker:
    """All channels are multiplied by a factor in [0, 1] and rounded."""

    factor: float

    def __call__(self, frames: Frames, time: int) -> Frames:
        """Changes frames (..., H, W, 3), whatever the time."""
        levels = np.round(np.arange(256) * self.factor).astype(np.uint8)
        changed: Frames = levels[frames]
        return changed


@dataclass(frozen=True)
class Noisy:
    """A whole number is added to each channel of each pixel, and the sum clipped to 0..255.

    All numbers from -`most` to `most` are as likely. They depend on the seed and the time.
    """

    most: int
    seed: int = 0

    def __call__(self, frames: Frames, time: int) -> Frames:
        """Changes frames (..., H, W, 3) of one time."""
        rng = np.random.default_rng((self.seed, time))
        noise = rng.integers(-self.most, self.most + 1, frames.shape, np.int16)
        changed: Frames = (frames + noise).clip(0, 255).astype(np.uint8)
        return changed


@dataclass(frozen=True)
class Compressed:
    """Each frame is written as JPEG by Pillow, and read again.

    Attributes:
        quality: Pillow's, up to 95.
        subsampling: Pillow's: 0 keeps all of the colours' pixels, 2 one of each 2 x 2 as films do.
    """

    quality: int
    subsampling: int

    def __call__(self, frames: Frames, time: int) -> Frames:
        """Changes frames (..., H, W, 3), whatever the time."""
        from PIL import Image

        changed = np.empty_like(frames)
        for index in np.ndindex(frames.shape[:-3]):
            file = io.BytesIO()
            options = {"quality": self.quality, "subsampling": self.subsampling}
            Image.fromarray(frames[index]).save(file, "JPEG", **options)
            changed[index] = np.asarray(Image.open(file))
        return changed


Change = Callable[[Frames, int], Frames]
"""Frames (..., H, W, 3) uint8 of one time, and that time in emulator frames of the episode, to
frames of the same shape."""

ANY_GAME: dict[str, Change] = {
    "half as bright": Darker(0.5),
    "noise of 1": Noisy(1),
    "noise of 2": Noisy(2),
    "JPEG of quality 95": Compressed(95, subsampling=0),
    "JPEG of quality 95, colours halved": Compressed(95, subsampling=2),
}

_RING = Region(36, 178, 32, 128)
_BOXERS = WHITE_BOXER, BLACK_BOXER = (214, 214, 214), (0, 0, 0)
_GROUND = (110, 156, 66)

_WALL = (142, 142, 142)
_BRICKS = (
    (200, 72, 72),
    (198, 108, 58),
    (180, 122, 48),
    (162, 162, 42),
    (72, 160, 72),
    (66, 72, 200),
)
_WALLS, _ROWS = Region(17, 196), Region(57, 93)
_TOP_ROW = Region(57, 63)
_NO_TOP_ROW = (Region(32, 57, 8, 152), Region(63, 196, 8, 152))
"""Between the walls. Ball and paddle have the colour of the top row, where the ball keeps it."""

_ROAD, _BLACK = (142, 142, 142), (0, 0, 0)
_CARS = (
    (167, 26, 26),
    (180, 231, 117),
    (105, 105, 15),
    (228, 111, 111),
    (24, 26, 167),
    (162, 98, 33),
    (84, 92, 214),
    (184, 50, 50),
    (135, 183, 84),
    (210, 210, 64),
)
_CHICKEN = (252, 252, 84)
_ROADS, _LANES = Region(15, 195, 8), Region(24, 184, 8)
_WALK = (Region(15, 102, 40, 60), Region(105, 195, 40, 60))
"""Where the chicken walks, without the line in the middle, which has its colour."""
_ON_ROAD = (_ROAD, _CHICKEN, (170, 170, 170), (214, 214, 214))

_FIELD, _BALL = (144, 72, 17), (236, 236, 236)
_PADDLES = (92, 186, 92), (213, 130, 74)
_COURT = Region(34, 194)

OF_GAME: dict[str, dict[str, Change]] = {
    "Boxing": {
        "boxers' colours exchanged": Recoloured(
            {WHITE_BOXER: BLACK_BOXER, BLACK_BOXER: WHITE_BOXER}, regions=[_RING]
        ),
        "boxers red": Recoloured(dict.fromkeys(_BOXERS, RED), regions=[_RING]),
        "boxers blue": Recoloured(dict.fromkeys(_BOXERS, BLUE), regions=[_RING]),
        "boxers strobing": Strobing(_BOXERS, regions=[_RING]),
        "ground blue": Recoloured({_GROUND: (40, 60, 150)}),
    },
    "Breakout": {
        "ball and paddle blue": Recoloured({_BRICKS[0]: BLUE}, [_BLACK], _NO_TOP_ROW),
        "ball and paddle white": Recoloured({_BRICKS[0]: WHITE}, [_BLACK], _NO_TOP_ROW),
        "ball and paddle strobing": Strobing([_BRICKS[0]], [_BLACK], _NO_TOP_ROW),
        "bricks red": Recoloured(dict.fromkeys(_BRICKS[1:], _BRICKS[0]), regions=[_ROWS]),
        "bricks strobing": Strobing(_BRICKS, regions=[_ROWS]),
        "walls blue": Recoloured({_WALL: BLUE}, regions=[_WALLS]),
    },
    "Freeway": {
        "cars white": Recoloured(dict.fromkeys(_CARS, WHITE), _ON_ROAD, [_LANES]),
        "cars red": Recoloured(dict.fromkeys(_CARS, RED), _ON_ROAD, [_LANES]),
        "cars strobing": Strobing(_CARS, _ON_ROAD, [_LANES]),
        "chicken blue": Recoloured({_CHICKEN: BLUE}, [*_ON_ROAD, *_CARS], _WALK),
        "road blue": Recoloured({_ROAD: (40, 60, 150)}, [*_ON_ROAD, *_CARS], [_ROADS]),
    },
    "Pong": {
        "ball red": Recoloured({_BALL: RED}, [_FIELD, *_PADDLES], [_COURT]),
        "paddles and ball white": Recoloured(
            dict.fromkeys(_PADDLES, WHITE), [_FIELD, _BALL], [_COURT]
        ),
        "paddles and ball blue": Recoloured(
            dict.fromkeys([*_PADDLES, _BALL], BLUE), [_FIELD], [_COURT]
        ),
        "paddles and ball strobing": Strobing([*_PADDLES, _BALL], [_FIELD], [_COURT]),
        "field blue": Recoloured({_FIELD: (30, 50, 120)}, [*_PADDLES, _BALL]),
    },
}
"""By game, as `ale_py` spells it. Colours count inside of the regions only: Boxing's ring, where
black is a boxer; Breakout's court, or its rows of bricks; Freeway's lanes; Pong's court, without
score and lines.
Breakout's ball and paddle have the colour of the top row of bricks: the ball keeps it there."""


def changes_of(game: str) -> dict[str, Change]:
    """What can be changed in a game, by name: what any game has and what it has itself."""
    return ANY_GAME | OF_GAME.get(game, {})


class ChangedLook(gym.ObservationWrapper[Frames, Any, Frames], RecordConstructorArgs):
    """Lets a game look otherwise, for whatever sees its frames.

    It goes around an environment with RGB frames of the game's own size, after pooling, as
    `make_atari` reads screens from the emulator and not from a wrapped environment::

        SILOTObjectWrapper(ChangedLook(make_atari("Pong"), "field blue"))

    For an agent on pixels it goes under what shrinks frames.
    """

    def __init__(self, env: gym.Env[Frames, Any], change: str) -> None:
        """Wraps an Atari environment.

        Args:
            env: with frames, uint8 (H, W, 3).
            change: a name among `changes_of` its game.

        Raises:
            ValueError: there is no such change of the game.
        """
        RecordConstructorArgs.__init__(self, change=change)
        gym.ObservationWrapper.__init__(self, env)
        assert env.spec is not None  # gym.make gives every environment one
        game = resolve_game(env.spec.id)
        changes = changes_of(game)
        if change not in changes:
            raise ValueError(f"expected a change of {game} among {list(changes)}, got {change!r}")
        self._change = changes[change]

    def observation(self, observation: Frames) -> Frames:
        """The frame as it looks now."""
        ale = self.unwrapped.ale  # type: ignore[attr-defined]
        return self._change(observation, ale.getEpisodeFrameNumber())


def _replaced(
    frames: Frames,
    colours: Mapping[Colour, Colour],
    among: Sequence[Colour],
    regions: Sequence[Region],
) -> Frames:
    """See `Recoloured`."""
    changed = frames.copy()
    table = dict(_with_mixtures(colours, among))
    for region in regions:
        part, before = region.of(changed), region.of(frames)
        packed = to_packed(before)
        for old, new in table.items():
            part[packed == to_packed(np.array(old, np.uint8))] = new
    return changed


def _with_mixtures(
    colours: Mapping[Colour, Colour], among: Sequence[Colour]
) -> Iterator[tuple[Colour, Colour]]:
    """What becomes of colours and of their mixtures with one another and with others."""
    known = dict.fromkeys(among) | dict.fromkeys(colours)
    for old in colours:
        yield old, colours[old]
        for other in known:
            mixture = _mixed(old, other)
            if mixture not in known:
                yield mixture, _mixed(colours[old], colours.get(other, other))


def _mixed(one: Colour, other: Colour) -> Colour:
    red, green, blue = (max(pair) for pair in zip(one, other, strict=True))
    return red, green, blue
