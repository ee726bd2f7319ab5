from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from silot_gym.atari import make_atari
from silot_gym.rollouts import Episode, EpisodeBuilder
from silot_gym.training.background import estimate_background

HEIGHT, WIDTH, LARGEST = 60, 80, 20
NOTHING, BAR, BLOB = (10, 20, 30), (0, 150, 30), (200, 0, 0)
Draw = Callable[[NDArray[np.uint8], int], None]


def film(draw: Draw, length: int = 20) -> Episode:
    """Frames of the one colour on which something is drawn, given the time."""
    builder = EpisodeBuilder()
    for t in range(length):
        frame = np.full((HEIGHT, WIDTH, 3), NOTHING, np.uint8)
        draw(frame, t)
        builder.add(frame, t - 1)
    return builder.build()


def wide_bar(frame: NDArray[np.uint8], t: int) -> None:
    frame[40:46, 10:70] = BAR


def empty(frame: NDArray[np.uint8], t: int) -> None:
    pass


def picture(draw: Draw = empty) -> NDArray[np.uint8]:
    """The first frame of a film."""
    return film(draw, 1).rgb()[0]


def estimated(episodes: Sequence[Episode], largest: int = LARGEST) -> NDArray[np.uint8]:
    """The picture of the background, whose colour is always the same."""
    colour, background = estimate_background(episodes, largest)
    assert colour == NOTHING
    return background


def test_where_there_is_nothing_the_background_has_the_most_common_colour() -> None:
    background = estimated([film(empty)])
    assert background.dtype == np.uint8
    assert np.array_equal(background, picture())


@pytest.mark.parametrize("width", [39, 41])
@pytest.mark.parametrize("darker", [False, True])
def test_the_colour_is_the_one_that_most_pixels_have(width: int, darker: bool) -> None:
    other = (0, 0, 0) if darker else BAR  # its place in the palette does not matter

    def halves(frame: NDArray[np.uint8], t: int) -> None:
        frame[:, :width] = other
        frame[20:25, 30 + t : 33 + t] = BLOB

    colour, background = estimate_background([film(halves)], LARGEST)
    assert colour == (NOTHING if width == 39 else other)
    expected = np.full((HEIGHT, WIDTH, 3), NOTHING, np.uint8)
    expected[:, :width] = other
    assert np.array_equal(background, expected)


def test_the_colour_is_counted_over_all_frames_of_all_episodes() -> None:
    def flooded(frame: NDArray[np.uint8], t: int) -> None:
        frame[:, : 2 * WIDTH // 3] = BAR

    def less(frame: NDArray[np.uint8], t: int) -> None:
        frame[:, : WIDTH // 3] = BAR

    for floods, droughts, expected in ((6, 14, NOTHING), (14, 6, BAR)):
        episodes = [film(flooded, floods), film(less, droughts)]
        for ordered in (episodes, episodes[::-1]):
            colour, _ = estimate_background(ordered, LARGEST)
            assert colour == expected
            assert all(type(channel) is int for channel in colour)


def test_a_wide_bar_that_stays_is_background_and_what_passes_it_is_not() -> None:
    def passing(frame: NDArray[np.uint8], t: int) -> None:
        wide_bar(frame, t)
        frame[36:50, 3 * t : 3 * t + 10] = BLOB

    assert np.array_equal(estimated([film(passing)]), picture(wide_bar))


@pytest.mark.parametrize("largest", [20, 21])
@pytest.mark.parametrize("top", [0, 17, HEIGHT - 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_bar_is_background_from_the_length_that_no_object_has(
    largest: int, top: int, transposed: bool
) -> None:
    def bar_of(length: int) -> Draw:
        def draw(frame: NDArray[np.uint8], t: int) -> None:
            canvas = frame.swapaxes(0, 1)[::-1][:HEIGHT] if transposed else frame
            canvas[top : top + 3, :length] = BAR

        return draw

    longest, longer = bar_of(largest), bar_of(largest + 1)
    assert np.array_equal(estimated([film(longest)], largest), picture())
    assert np.array_equal(estimated([film(longer)], largest), picture(longer))


@pytest.mark.parametrize(("largest", "filled"), [(1, 0.3), (4, 0.7), (7, 0.85)])
def test_background_are_the_pixels_in_runs_longer_than_an_object(
    largest: int, filled: float
) -> None:
    rng = np.random.default_rng(0)
    drawn = (rng.random((HEIGHT, WIDTH)) < filled) & (np.arange(WIDTH) < 40 / filled)
    colours = np.array([BAR, BLOB], np.uint8)[rng.integers(2, size=drawn.shape)]

    def still(frame: NDArray[np.uint8], t: int) -> None:
        frame[drawn] = colours[drawn]

    def in_long_runs(line: NDArray[np.bool_]) -> NDArray[np.bool_]:
        runs = "".join(" #"[int(pixel)] for pixel in line).split(" ")
        kept = ["01"[len(run) > largest] * len(run) for run in runs]
        return np.array(list("0".join(kept))) == "1"

    long = np.stack([in_long_runs(row) for row in drawn])
    long |= np.stack([in_long_runs(column) for column in drawn.T], 1)
    assert 0 < long.sum() < drawn.sum()
    # Most of what is shown over time is nothing, although little of the drawn frames may be.
    episodes = [film(still, 30), film(empty, 25)]
    expected = np.where(long[..., None], colours, np.array(NOTHING, np.uint8))
    assert np.array_equal(estimated(episodes, largest), expected)


def test_what_is_as_still_and_no_larger_than_an_object_is_no_background() -> None:
    def blobs(frame: NDArray[np.uint8], t: int) -> None:
        wide_bar(frame, t)
        frame[5 : 5 + LARGEST, 5 : 5 + LARGEST] = BLOB
        frame[10:13, 30:33] = BLOB
        frame[10:13, 34:37] = BLOB

    assert np.array_equal(estimated([film(blobs)]), picture(wide_bar))


def test_a_bar_that_moves_is_no_background() -> None:
    def moving(frame: NDArray[np.uint8], t: int) -> None:
        frame[2 * t : 2 * t + 4] = BAR

    assert np.array_equal(estimated([film(moving)]), picture())


@pytest.mark.parametrize(("share", "usual"), [(0.3, False), (0.4, False), (0.7, True)])
def test_a_bar_is_background_if_it_is_there_in_most_frames(share: float, usual: bool) -> None:
    def sometimes(frame: NDArray[np.uint8], t: int) -> None:
        if t < 40 * share:
            wide_bar(frame, t)

    expected = picture(wide_bar if usual else empty)
    assert np.array_equal(estimated([film(sometimes, 40)]), expected)
    parts = [film(wide_bar)] * round(10 * share) + [film(empty)] * round(10 - 10 * share)
    assert np.array_equal(estimated(parts), expected)


def test_the_order_of_a_palette_does_not_matter() -> None:
    def lively(frame: NDArray[np.uint8], t: int) -> None:
        wide_bar(frame, t)
        frame[5:15, 2 * t : 2 * t + 10] = BLOB

    first = film(lively)
    order = np.array([2, 0, 1])
    second = Episode(
        np.argsort(order).astype(np.uint8)[first.frames], first.palette[order], first.actions
    )
    assert np.array_equal(second.rgb(), first.rgb())
    for episodes in ([second], [first, second]):
        assert np.array_equal(estimated(episodes), picture(wide_bar))


def test_a_colour_that_only_some_episodes_have_is_no_obstacle() -> None:
    def flash(frame: NDArray[np.uint8], t: int) -> None:
        wide_bar(frame, t)
        frame[5:9, 5:9] = (t, 250, 250)

    plain, flashing = film(wide_bar), film(flash)
    assert len(plain.palette) < len(flashing.palette)
    for episodes in ([plain, flashing], [flashing, plain]):
        assert np.array_equal(estimated(episodes), picture(wide_bar))


@pytest.mark.parametrize("start", [0, 260])
def test_long_episodes_count_from_their_beginning_to_their_end(start: int) -> None:
    def opposite_bars(frame: NDArray[np.uint8], t: int) -> None:
        if start <= t < start + 240:  # 240 of 500 frames, the first or the last ones
            wide_bar(frame, t)
        else:
            frame[10:14, 10:70] = BLOB

    def other_bar(frame: NDArray[np.uint8], t: int) -> None:
        frame[10:14, 10:70] = BLOB

    found = estimated([film(opposite_bars, 500)])
    assert np.array_equal(found, picture(other_bar))


def test_in_space_invaders_the_ground_is_background_but_not_shields_and_score() -> None:
    env, builder = make_atari("SpaceInvaders"), EpisodeBuilder()
    builder.add(env.reset(seed=0)[0], -1)
    for action in np.random.default_rng(0).integers(6, size=250):
        builder.add(env.step(action)[0], int(action))
    episode = builder.build()
    colour, background = estimate_background([episode], 32)
    assert colour == (0, 0, 0)
    ground = background.any(-1)
    assert ground[197:].mean() > 0.95
    assert not ground[:195].any()
    drawn = episode.rgb().any(-1).mean(0) > 0.8  # nearly always, so that only size tells
    assert drawn[10:20].sum() > 100
    assert drawn[157:175].sum() > 100
