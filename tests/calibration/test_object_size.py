import numpy as np
import pytest

from silot_gym.background import Background
from silot_gym.calibration.object_size import sized_for, typical_size
from silot_gym.model import ModelConfig
from silot_gym.rollouts import Episode

PALETTE = np.array([[0, 0, 0], [200, 40, 40], [40, 200, 40]], np.uint8)


def episode(width: int, height: int, objects: int = 3, frames: int = 60) -> Episode:
    """Rectangles of a size and two colours in random places."""
    rng = np.random.default_rng(width)
    pictures = np.zeros((frames, 120, 160), np.uint8)
    for picture in pictures:
        for number in range(objects):
            x, y = rng.integers(160 - width), rng.integers(120 - height)
            picture[y : y + height, x : x + width] = 1 + number % 2
    return Episode(pictures, PALETTE, np.zeros(frames, np.int64))


@pytest.mark.parametrize(("width", "height"), [(8, 10), (4, 16), (24, 6), (15, 45)])
def test_sizes_of_rectangles_are_found(width: int, height: int) -> None:
    found = typical_size([episode(width, height)], Background())
    assert found is not None
    # The overlap falls linearly; it counts as fallen at a fifth of the way above its least.
    assert found == pytest.approx((0.8 * width, 0.8 * height), abs=2, rel=0.15)


def test_the_hud_does_not_count() -> None:
    shown = episode(6, 8)
    shown.frames[:, :20] = 2  # a wide bar at the top
    bar = Background(hud=((0.0, 0.0, 1.0, 20 / 120),))
    assert typical_size([shown], bar) == pytest.approx((5, 7), abs=2)


def test_where_nothing_is_seen_the_model_stays_as_it_is() -> None:
    empty = episode(1, 1, objects=0)
    assert typical_size([empty], Background()) is None
    assert sized_for(ModelConfig(), None, (120, 160), 48) == ModelConfig()


def test_large_objects_are_seen_in_larger_pixels() -> None:
    sizes = [typical_size([e], Background()) for e in (episode(8, 10), episode(15, 50, objects=2))]
    small, large = (sized_for(ModelConfig(), size, (120, 160), 48) for size in sizes)
    assert (small.pixel_size, large.pixel_size) == (1, 2)
    assert large.initial_size[1] * 2 == pytest.approx(1.5 * 40, rel=0.15)
    assert large.anchor_size == pytest.approx((12, 40), abs=2)


@pytest.mark.parametrize("crop_size", [24, 48])
@pytest.mark.parametrize("height", [20, 30, 40, 60, 90])
def test_every_size_makes_a_model_whose_objects_are_smaller_than_a_crop(
    height: int, crop_size: int
) -> None:
    size = typical_size([episode(10, height, objects=2)], Background())
    config = sized_for(ModelConfig(), size, (120, 160), crop_size)
    assert all(a < b for a, b in zip(config.initial_size, config.anchor_size, strict=True))
    assert max(config.anchor_size) < crop_size
    assert config.pixel_size * crop_size <= 120


def test_black_objects_on_a_coloured_ground_are_measured() -> None:
    seen = episode(10, 12)
    palette = np.array([[40, 90, 40], [0, 0, 0], [9, 9, 9]], np.uint8)
    dark = Episode(seen.frames, palette, seen.actions)
    ground = Background.of([(40, 90, 40)])
    assert typical_size([dark], ground) == typical_size([seen], Background())


def test_short_episodes_are_looked_at() -> None:
    short = [episode(8, 10, frames=5 + number % 3) for number in range(200)]
    assert typical_size(short, Background()) == pytest.approx((6.4, 8), abs=2)
