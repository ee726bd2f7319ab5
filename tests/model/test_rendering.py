from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from silot_gym.model import ModelConfig
from silot_gym.model.rendering import Renderer, bilinear_weights, extract_glimpses
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
    along_x = bilinear_weights(torch.tensor(x), torch.tensor(width), 6, 24)
    along_y = bilinear_weights(torch.tensor(y), torch.tensor(height), 6, 16)
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


@pytest.mark.parametrize("count", [3, 0])
def test_empty_slots_and_no_slots_give_a_black_frame(count: int) -> None:
    objects = replace(some_objects(count), presence=torch.zeros(2, count))
    frame = Renderer(CONFIG)(objects, 20, 30)
    assert frame.shape == (2, 3, 20, 30) and (frame == 0).all()


def test_gradients_of_position_and_size_by_finite_differences() -> None:
    torch.manual_seed(0)
    sprite = torch.rand(5, 5, dtype=torch.float64)

    def paste(position: Tensor, size: Tensor) -> Tensor:
        along_x = bilinear_weights(position[0], size[0], 5, 12)
        along_y = bilinear_weights(position[1], size[1], 5, 12)
        return along_y @ sprite @ along_x.mT

    where = torch.tensor([6.13, 5.77], dtype=torch.float64, requires_grad=True)
    size = torch.tensor([4.91, 6.37], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(paste, (where, size), eps=1e-7)
