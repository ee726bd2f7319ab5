import pytest
import torch

from silot_gym.play.fragments import is_fragment

BODY = [10.0, 10, 30, 40]


@pytest.mark.parametrize(
    ("box", "fragment"),
    [
        pytest.param([28.0, 12, 36, 16], True, id="an arm, a quarter on the body"),
        pytest.param([31.0, 12, 39, 16], True, id="an arm beside it"),
        pytest.param([33.0, 12, 41, 16], False, id="a thing apart"),
        pytest.param([31.0, 10, 51, 36], False, id="another body beside it"),
        pytest.param([24.0, 10, 44, 40], True, id="another body, a third behind it"),
    ],
)
def test_parts_lie_on_a_tracked_object_or_are_small_and_touch_it(
    box: list[float], fragment: bool
) -> None:
    found = torch.tensor([[box, [100.0, 100, 110, 110]]])
    tracked = torch.tensor([[[60.0, 60, 70, 70], BODY]])
    expected = torch.tensor([[[False, fragment], [False, False]]])
    assert torch.equal(is_fragment(found, tracked, 0.25, 0.8, 1.5), expected)
