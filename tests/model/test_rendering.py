from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from silot_gym.model import ModelConfig
from silot_gym.model.rendering import Renderer, extract_glimpses, hat_weights, visible_boxes
from silot_gym.objects import Objects

CONFIG = ModelConfig(num_slots=3, glimpse_size=6, what_dim=4, hidden_dim=5, decoder_dims=(16,))


def some_objects(count: int, seed: int = 0) -> Objects:
    torch.manual_seed(seed)
    return Objects(
        position=torch.rand(2, count, 2) * 40,
        anchor=torch.tensor([[20.0, 48.0, 60.0]] * 2)[:, :count, None].expand(-1, -1, 2),
        size_logit=torch.randn(2, count, 2),
        what=torch.randn(2, count, CONFIG.what_dim),
        depth_logit=torch.randn(2, count),
        presence=torch.rand(2, count),
        hidden=torch.zeros(2, count, CONFIG.hidden_dim),
        track_id=torch.full((2, count), -1),
    )


def bilinear(image: Tensor, x: float, y: float) -> Tensor:
    """Value of a (3, height, width) image at a point in pixels (edges convention), by a loop."""
    total = torch.zeros(3)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            weight = max(0.0, 1 - abs(x - column - 0.5)) * max(0.0, 1 - abs(y - row - 0.5))
            total += weight * image[:, row, column]
    return total


def test_glimpses_equal_an_explicit_loop() -> None:
    torch.manual_seed(0)
    frame = torch.rand(1, 3, 9, 14)
    position = torch.tensor([[[5.2, 4.1], [0.5, 8.7], [20.0, 3.0]]])
    size = torch.tensor([[[4.0, 6.5], [3.0, 3.0], [5.0, 5.0]]])
    glimpses = extract_glimpses(frame, position, size, 4).view(3, 3, 4, 4)
    for n in range(3):
        for i in range(4):
            for j in range(4):
                x = position[0, n, 0] + size[0, n, 0] * ((j + 0.5) / 4 - 0.5)
                y = position[0, n, 1] + size[0, n, 1] * ((i + 0.5) / 4 - 0.5)
                expected = bilinear(frame[0], float(x), float(y))
                torch.testing.assert_close(glimpses[n, :, i, j], expected, atol=1e-5, rtol=0)


def test_a_box_of_whole_pixels_is_cropped_exactly() -> None:
    frame = torch.rand(1, 3, 20, 30)
    centre, size = torch.tensor([[[11.0, 9.0]]]), torch.tensor([[[6.0, 6.0]]])
    crop = extract_glimpses(frame, centre, size, 6).view(3, 6, 6)
    torch.testing.assert_close(crop, frame[0, :, 6:12, 8:14], atol=1e-5, rtol=0)


def test_stretching_a_sprite_equals_grid_sample() -> None:
    torch.manual_seed(1)
    sprite = torch.rand(1, 1, 6, 6)
    x, y, width, height = 10.3, 7.9, 9.0, 4.2
    along_x = hat_weights(torch.tensor(x), torch.tensor(width), 6, 24)
    along_y = hat_weights(torch.tensor(y), torch.tensor(height), 6, 16)
    stretched = along_y @ sprite[0, 0] @ along_x.T
    column, row = torch.arange(24) + 0.5, torch.arange(16) + 0.5
    grid = torch.stack(
        torch.broadcast_tensors(
            (2 * (column - x) / width)[None], (2 * (row - y) / height)[:, None]
        ),
        -1,
    )
    expected = grid_sample(sprite, grid[None], padding_mode="zeros", align_corners=False)
    torch.testing.assert_close(stretched, expected[0, 0], atol=1e-5, rtol=0)


def render_by_loop(renderer: Renderer, objects: Objects, height: int, width: int) -> Tensor:
    """One frame (3, height, width) of the first stream: object by object, pixel by pixel."""
    colour, alpha = renderer.sprites(objects.what[0])
    size = objects.size[0]
    frame = torch.zeros(3, height, width)
    for row in range(height):
        for column in range(width):
            mixed, weights, opacity = torch.zeros(3), torch.tensor(0.0), torch.tensor(0.0)
            for k in range(objects.presence.shape[1]):
                x, y = objects.position[0, k]
                u = (column + 0.5 - (x - size[k, 0] / 2)) * 6 / size[k, 0] - 0.5
                v = (row + 0.5 - (y - size[k, 1] / 2)) * 6 / size[k, 1] - 0.5
                near = [(i, j) for i in range(6) for j in range(6) if abs(v - i) < 1 > abs(u - j)]
                for i, j in near:
                    weight = (1 - abs(v - i)) * (1 - abs(u - j))
                    seen = weight * alpha[k, 0, i, j] * objects.presence[0, k]
                    nearby = colour[k, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
                    importance = seen * objects.depth[0, k] * (nearby.max() + 0.01)
                    mixed += importance * colour[k, :, i, j]
                    weights = weights + importance
                    opacity = opacity + seen
            if weights > 0:
                frame[:, row, column] = mixed / (weights + 1e-6) * opacity.clamp(max=1)
    return frame


def test_rendering_equals_an_explicit_loop() -> None:
    torch.manual_seed(0)
    renderer, objects = Renderer(CONFIG), some_objects(3)
    with torch.no_grad():
        rendered = renderer(objects, 30, 40)
        expected = render_by_loop(renderer, objects, 30, 40)
    torch.testing.assert_close(rendered[0], expected, atol=1e-4, rtol=0)


def test_the_nearer_object_covers_the_other() -> None:
    renderer = Renderer(CONFIG)
    objects = some_objects(2)
    same = torch.tensor([[[20.0, 20.0]] * 2] * 2)
    near = Objects(
        **{
            **vars(objects),
            "position": same,
            "size_logit": torch.zeros(2, 2, 2),
            "presence": torch.ones(2, 2),
            "depth_logit": torch.tensor([[9.0, -9.0]] * 2),
        }
    )
    alone = Objects(**{**vars(near), "presence": torch.tensor([[1.0, 0.0]] * 2)})
    inside = (..., slice(16, 24), slice(16, 24))  # at the soft edge, opacities add up
    covered, single = renderer(near, 40, 40)[inside], renderer(alone, 40, 40)[inside]
    torch.testing.assert_close(covered, single, atol=0.01, rtol=0)


def test_what_is_dark_hides_little() -> None:
    """A dim object is seen through the black part of a nearer one's opaque sprite."""
    sprites = torch.full((2, 4, 6, 6), -5.0)
    sprites[:, 3] = 5  # opaque
    sprites[0, :3, :, :2] = 5  # white on its left side
    sprites[1, :3] = -0.5  # gray
    renderer = Renderer(CONFIG)
    renderer.sprites = (
        lambda what: (  # type: ignore[method-assign]
            sprites[None, :, :3].sigmoid(),
            sprites[None, :, 3:].sigmoid(),
        )
    )
    objects = some_objects(2).map(lambda value: value[:1])
    objects = replace(
        objects,
        position=torch.full((1, 2, 2), 20.0),
        size_logit=torch.zeros(1, 2, 2),
        presence=torch.ones(1, 2),
        depth_logit=torch.zeros(1, 2),
    )
    seen = renderer(objects, 40, 40)[0, 0, 20]
    left, right = seen[16], seen[23]  # of the 10 pixels of the smaller one
    assert left > 0.7  # between gray and white, which hides more
    assert right.item() == pytest.approx(torch.tensor(-0.5).sigmoid().item(), rel=0.05)


def test_empty_slots_and_no_slots_give_a_black_frame() -> None:
    renderer, objects = Renderer(CONFIG), some_objects(3)
    empty = Objects(**{**vars(objects), "presence": torch.zeros(2, 3)})
    assert torch.equal(renderer(empty, 20, 20), torch.zeros(2, 3, 20, 20))


def test_gradients_of_position_and_size_by_finite_differences() -> None:
    torch.manual_seed(0)
    sprite = torch.rand(5, 5, dtype=torch.float64)

    def paste(position: Tensor, size: Tensor) -> Tensor:
        along_x = hat_weights(position[0], size[0], 5, 12)
        along_y = hat_weights(position[1], size[1], 5, 12)
        return along_y @ sprite @ along_x.mT

    where = torch.tensor([6.13, 5.77], dtype=torch.float64, requires_grad=True)
    size = torch.tensor([4.91, 6.37], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(paste, (where, size), eps=1e-7)


POSITION, SIZE = torch.tensor([[[20.0, 30.0]]]), torch.tensor([[[16.0, 24.0]]])
TEXEL = torch.tensor([2.0, 3.0, 2.0, 3.0])  # of a sprite of 8 x 8 texels that has that size


def lit(rows: slice, columns: slice, brightness: float = 0.8) -> Tensor:
    """A sprite of 8 x 8 texels, black but for a rectangle."""
    sprite = torch.zeros(1, 1, 8, 8)
    sprite[..., rows, columns] = brightness
    return sprite


def box_of(sprite: Tensor, position: Tensor = POSITION, size: Tensor = SIZE) -> Tensor:
    """The visible box (4,) of one sprite."""
    return visible_boxes(sprite, position, size)[0, 0]


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(3, 5), slice(1, 6)),
        (slice(0, 8), slice(0, 8)),
        (slice(0, 1), slice(7, 8)),
        (slice(6, 8), slice(4, 5)),
    ],
)
def test_the_box_of_a_lit_rectangle_is_the_rectangle(rows: slice, columns: slice) -> None:
    box = box_of(lit(rows, columns))
    corners = torch.tensor([columns.start, rows.start, columns.stop, rows.stop])
    expected = torch.tensor([12.0, 18.0, 12.0, 18.0]) + corners * TEXEL
    assert ((box - expected).abs() <= 0.5 * TEXEL).all()


def test_a_soft_edge_lies_between_an_edge_with_and_one_without_it() -> None:
    without, whole = lit(slice(3, 5), slice(3, 6)), lit(slice(3, 5), slice(2, 6))
    edges = [box_of(without)[0]]
    for share in (0.4, 0.5, 0.7):
        edges.append(box_of(without.lerp(whole, share))[0])
        assert torch.equal(box_of(without.lerp(whole, share))[1:], box_of(without)[1:])
    edges.append(box_of(whole)[0])
    assert all(inner > outer for inner, outer in pairwise(edges))


def test_a_blurred_edge_is_where_the_sprite_is_half_as_bright_as_inside() -> None:
    """What is three tenths as bright or less counts as black, however far it reaches."""
    sprite = torch.zeros(1, 1, 8, 8)
    profile = torch.tensor([0.0, 0.0, 0.4, 0.9, 1.0, 0.7, 0.05, 0.05])
    sprite[0, 0] = profile[:, None] * profile
    first, last = 2.5 + 0.1 / 0.5, 6.5 - 0.5 / 0.7  # from one texel's centre to the next one's
    corners = torch.tensor([first, first, last, last])
    expected = torch.tensor([12.0, 18.0, 12.0, 18.0]) + corners * TEXEL
    torch.testing.assert_close(box_of(sprite), expected)


def test_the_box_is_where_interpolated_sprites_are_bright() -> None:
    torch.manual_seed(0)
    sprites = 0.5 + 0.5 * torch.rand(2, 3, 7, 7) ** 3
    sprites[0, :, :2], sprites[1, :, :, 4:] = 0, 0
    sprites[0, 0, 3:], sprites[1, 1, :6] = 0, 0
    position, size = 40 * torch.rand(2, 3, 2), 5 + 20 * torch.rand(2, 3, 2)
    boxes = visible_boxes(sprites, position, size)
    places = np.linspace(0, 7, 70_001)
    for stream in range(2):
        for n in range(3):
            sprite = sprites[stream, n].numpy()
            for axis in (0, 1):  # x, y
                profile = sprite.max(axis)
                ends = []
                for side in (profile, profile[::-1]):
                    start = np.argmax(side > 0)
                    half = side[start : start + 3].max() / 2
                    bright = np.interp(places, np.arange(9) - 0.5, np.pad(side, 1)) > half
                    ends.append(places[bright][0])
                ends = np.array([ends[0] / 7 - 0.5, 0.5 - ends[1] / 7])
                expected = position[stream, n, axis].item() + ends * size[stream, n, axis].item()
                np.testing.assert_allclose(boxes[stream, n, axis::2], expected, atol=0.005)


@pytest.mark.parametrize("brightness", [0.0, 0.01, 0.02])
def test_a_black_sprite_has_its_whole_box(brightness: float) -> None:
    black = lit(slice(3, 5), slice(3, 5), brightness)
    assert box_of(black).tolist() == [12.0, 18.0, 28.0, 42.0]


def test_moving_and_stretching_an_object_does_so_to_its_box() -> None:
    sprite = lit(slice(1, 4), slice(2, 7))
    sprite[..., 4, 3] = 0.3
    shift = torch.tensor([7.25, -11.5])
    moved = box_of(sprite, POSITION + shift)
    torch.testing.assert_close(moved, box_of(sprite) + shift.repeat(2))
    origin = torch.zeros_like(POSITION)
    torch.testing.assert_close(box_of(sprite, origin, 3 * SIZE), 3 * box_of(sprite, origin))


def test_mirroring_and_turning_a_sprite_does_so_to_its_box() -> None:
    torch.manual_seed(0)
    sprite = lit(slice(1, 4), slice(2, 7)) * (0.3 + 0.7 * torch.rand(8, 8))
    origin = torch.zeros_like(POSITION)
    x0, y0, x1, y1 = box_of(sprite, origin)
    mirrored = box_of(sprite.flip(-1), origin)
    torch.testing.assert_close(mirrored, torch.stack([-x1, y0, -x0, y1]))
    turned = box_of(sprite.mT, origin, SIZE.flip(-1))
    torch.testing.assert_close(turned, torch.stack([y0, x0, y1, x1]))


@pytest.mark.parametrize("share", [0.6, 1.25])
def test_brightness_does_not_change_the_box(share: float) -> None:
    torch.manual_seed(0)
    sprite = lit(slice(1, 4), slice(2, 7)) * torch.rand(8, 8)
    torch.testing.assert_close(box_of(share * sprite), box_of(sprite))


@pytest.mark.parametrize("gap", [1, 3])
@pytest.mark.parametrize("beyond", [0.3, 1.0])
def test_what_lies_beyond_a_gap_is_not_part_of_the_object(gap: int, beyond: float) -> None:
    alone = lit(slice(3, 6), slice(0, 3))
    both = alone.clone()
    both[..., 4, 3 + gap] = beyond * 0.8
    assert torch.equal(box_of(both), box_of(alone))
    assert torch.equal(box_of(both.mT), box_of(alone.mT))


def test_dim_parts_that_touch_a_bright_one_are_part_of_the_object() -> None:
    sprite = lit(slice(3, 5), slice(2, 4))
    larger = sprite + lit(slice(3, 5), slice(4, 7), 0.3)
    x0, y0, x1, y1 = (box_of(larger) - box_of(sprite)).tolist()
    assert (x0, y0, y1) == (0, 0, 0)
    assert x1 == pytest.approx(6, abs=0.5)  # three texels


@pytest.mark.parametrize("outside", ["black", "transparent"])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_around_the_pixels_that_are_rendered(outside: str, seed: int) -> None:
    torch.manual_seed(seed)
    renderer = Renderer(CONFIG)
    top, left = torch.randint(1, 4, (2,)).tolist()
    bottom, right = top + 2, left + 1
    colour, alpha = torch.full((3, 6, 6), 5.0), torch.zeros(1, 6, 6)
    colour[:, top + seed % 2, left] = torch.tensor([0.2, -5, -5])  # dim red below or above white
    if outside == "black":
        colour[:, :top], colour[:, bottom:], colour[..., :left], colour[..., right:] = [-5] * 4
    else:
        alpha[:, :top], alpha[:, bottom:], alpha[..., :left], alpha[..., right:] = [-200] * 4
    last = renderer.decoder[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.cat([colour, alpha]).flatten()
    position, size_logit = 20 + 20 * torch.rand(2, 1, 2), 0.5 * torch.randn(2, 1, 2)
    one = Objects(
        **{
            **vars(some_objects(1)),
            "position": position,
            "size_logit": size_logit,
            "presence": torch.ones(2, 1),
        }
    )
    with torch.no_grad():
        boxes, frames = renderer.boxes(one), renderer(one, 60, 60)
    for box, frame in zip(boxes[:, 0], frames, strict=True):
        seen = (frame.amax(0) > 0.5 * frame.max()).nonzero()
        first, beyond = seen.min(0).values.flip(0), seen.max(0).values.flip(0) + 1
        torch.testing.assert_close(box, torch.cat([first, beyond]).float(), atol=1.2, rtol=0)
