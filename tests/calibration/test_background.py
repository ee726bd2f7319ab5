from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from silot_gym.atari import make_atari
from silot_gym.background import Background, Colour, pack_colours, unpack_colours
from silot_gym.calibration.background import estimate_background
from silot_gym.calibration.config import CalibrationConfig
from silot_gym.rollouts import Episode, EpisodeBuilder

HEIGHT, WIDTH, LARGEST = 60, 80, 20
SMALL = CalibrationConfig(largest_object=LARGEST)
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
    background = estimate_background(episodes, config=CalibrationConfig(largest_object=largest))
    assert background.colour == NOTHING
    return behind(background)


def behind(background: Background) -> NDArray[np.uint8]:
    """The picture of a background that has one scene."""
    assert len(background.pictures) <= 1
    blank = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.int32)
    return unpack_colours(background.behind(blank)[0]).numpy()


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

    background = estimate_background([film(halves)], config=SMALL)
    assert background.colour == (NOTHING if width == 39 else other)
    expected = np.full((HEIGHT, WIDTH, 3), NOTHING, np.uint8)
    expected[:, :width] = other
    assert np.array_equal(behind(background), expected)


def test_the_colour_is_counted_over_all_frames_of_all_episodes() -> None:
    def flooded(frame: NDArray[np.uint8], t: int) -> None:
        frame[:, : 2 * WIDTH // 3] = BAR

    def less(frame: NDArray[np.uint8], t: int) -> None:
        frame[:, : WIDTH // 3] = BAR

    for floods, droughts, expected in ((6, 14, NOTHING), (14, 6, BAR)):
        episodes = [film(flooded, floods), film(less, droughts)]
        for ordered in (episodes, episodes[::-1]):
            colour = estimate_background(ordered, config=SMALL).colour
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
            if t % 4:  # usually, not always
                canvas[top : top + 3, :length] = BAR

        return draw

    longest, longer = bar_of(largest), bar_of(largest + 1)
    assert np.array_equal(estimated([film(longest)], largest), picture())
    expected = film(longer).rgb()[1]
    assert np.array_equal(estimated([film(longer)], largest), expected)


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


def test_what_is_no_larger_than_an_object_is_no_background_but_still_if_always_there() -> None:
    def constant(frame: NDArray[np.uint8], t: int) -> None:
        wide_bar(frame, t)
        frame[10:13, 34:37] = BLOB

    def both(frame: NDArray[np.uint8], t: int) -> None:
        constant(frame, t)
        if t % 10:  # usually
            frame[5 : 5 + LARGEST, 5 : 5 + LARGEST] = BLOB
            frame[10:13, 30:33] = BLOB

    assert np.array_equal(estimated([film(both)]), picture(wide_bar))
    in_play = estimate_background([film(both)], config=SMALL).with_static()
    assert np.array_equal(behind(in_play), picture(constant))


def test_many_small_things_that_are_always_there_are_scenery() -> None:
    def maze(frame: NDArray[np.uint8], t: int) -> None:
        frame[3::12, 4:12] = BAR
        frame[3::12, 30:40] = BAR

    def with_ghost(frame: NDArray[np.uint8], t: int) -> None:
        maze(frame, t)
        frame[20:26, 2 * t : 2 * t + 6] = BLOB

    assert np.array_equal(estimated([film(with_ghost)]), picture(maze))


def test_each_scene_has_a_picture_and_all_their_colours_are_background() -> None:
    def scene(ground: Colour, top: int) -> Draw:
        def draw(frame: NDArray[np.uint8], t: int) -> None:
            frame[:] = ground
            frame[top : top + 4, 10:70] = BAR
            frame[30:35, 2 * t : 2 * t + 5] = BLOB

        return draw

    lava = (90, 20, 0)
    episodes = [film(scene(NOTHING, 5)), film(scene(lava, 50), 10)]
    background = estimate_background(episodes, config=SMALL)
    assert unpack_colours(background.colours).tolist() == [list(NOTHING), list(lava)]
    assert len(background.pictures) == 2
    for episode in episodes:
        drawn = background.foreground(pack_colours(torch.from_numpy(episode.rgb())))
        assert np.array_equal(drawn.numpy(), (episode.rgb() == BLOB).all(-1))
    assert len(estimate_background(episodes, "static", SMALL).pictures) == 1
    assert len(estimate_background(episodes, "colour", SMALL).pictures) == 0


def test_known_scenes_are_as_full_as_the_fullest_frame_and_half_as_much_more() -> None:
    def crowd(frame: NDArray[np.uint8], t: int) -> None:
        for number in range(5 if t == 7 else 3):
            left = (11 * t + 16 * number) % 80
            frame[10:30, left : left + 4] = BLOB

    drawn = (film(crowd).rgb() == BLOB).all(-1).mean((1, 2)).max()
    full = estimate_background([film(crowd)], config=SMALL)
    assert full.max_foreground == pytest.approx(1.5 * drawn, abs=1e-4)
    assert estimate_background([film(empty)], config=SMALL).max_foreground == 0.1


@pytest.mark.parametrize(("nearest", "tolerance"), [(1, 0), (4, 2), (7, 3), (60, 8)])
def test_no_colour_of_the_rollouts_is_near_to_the_background(nearest: int, tolerance: int) -> None:
    def small(frame: NDArray[np.uint8], t: int) -> None:
        frame[20:24, t : t + 4] = (NOTHING[0] + 1, NOTHING[1] + 1, NOTHING[2] + nearest)
        frame[50:54, t : t + 4] = BLOB

    assert estimate_background([film(small)], config=SMALL).tolerance == tolerance


def test_a_screen_that_flashes_once_is_no_scene() -> None:
    def flash(frame: NDArray[np.uint8], t: int) -> None:
        if t == 100:
            frame[:] = BLOB
        else:
            frame[20:24, t % 70 : t % 70 + 4] = BLOB

    background = estimate_background([film(flash, 300)], config=SMALL)
    assert len(background.colours) == 1
    assert background.max_foreground == 0.1


def test_what_scrolls_is_background_and_what_it_carries_is_not() -> None:
    def river(frame: NDArray[np.uint8], t: int) -> None:
        shore = 20 + round(15 * np.sin(t / 3))
        frame[:, :shore] = BAR
        y = 2 * t % (HEIGHT - 6)
        frame[y : y + 6, 35 + t % 5 : 41 + t % 5] = BLOB

    episode = film(river, 60)
    background = estimate_background([episode], config=SMALL)
    drawn = background.foreground(pack_colours(torch.from_numpy(episode.rgb())))
    assert np.array_equal(drawn.numpy(), (episode.rgb() == BLOB).all(-1))


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


def test_in_space_invaders_the_ground_is_background_but_not_what_moves_or_is_hit() -> None:
    env = make_atari("SpaceInvaders")
    episodes = []
    for seed in range(3):
        builder = EpisodeBuilder()
        builder.add(env.reset(seed=seed)[0], -1)
        for action in np.random.default_rng(seed).integers(6, size=250):
            builder.add(env.step(action)[0], int(action))
        episodes.append(builder.build())
    background = estimate_background(episodes, config=CalibrationConfig(largest_object=32))
    assert background.colour == (0, 0, 0)
    ground = behind_atari(background).any(-1)
    assert ground[197:].mean() > 0.95
    assert not ground[25:155].any()
    drawn = background.foreground(pack_colours(torch.from_numpy(episodes[0].rgb())))
    assert (drawn[:, 157:175].sum((1, 2)) > 50).all()  # shields


def behind_atari(background: Background) -> NDArray[np.uint8]:
    blank = torch.zeros(1, 210, 160, dtype=torch.int32)
    return unpack_colours(background.behind(blank)[0]).numpy()
