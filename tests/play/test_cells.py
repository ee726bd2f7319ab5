import pytest
import torch

from silot_gym.model import SILOT
from silot_gym.model.networks import CELL_SIZE
from silot_gym.play.cells import features_near
from tests.tiny import TINY


@pytest.mark.parametrize(("height", "width"), [(72, 96), (50, 83)])
def test_features_of_some_cells_come_from_their_neighbourhoods(height: int, width: int) -> None:
    torch.manual_seed(0)
    discovery = SILOT(TINY).eval().discovery
    rows, columns = -(-height // CELL_SIZE), -(-width // CELL_SIZE)
    frame = torch.rand(2, 3, height, width)
    everywhere = discovery.features(frame, torch.zeros(2, TINY.feature_dim, rows, columns))
    few = torch.rand(2, rows + 1, columns + 1) < 0.1
    for corners in (torch.ones_like(few), few):
        some = features_near(discovery, frame, corners)
        wanted = corners.unfold(1, 2, 1).unfold(2, 2, 1).flatten(3).any(-1).flatten(1)
        torch.testing.assert_close(some, everywhere * wanted[..., None], atol=1e-5, rtol=1e-5)
