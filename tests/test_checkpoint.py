from dataclasses import replace
from pathlib import Path

import torch

from silot_gym.background import Background
from silot_gym.checkpoint import Checkpoint
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT
from tests.tiny import TINY


def saved_bytes(model: SILOT, background: Background, folder: Path) -> int:
    Checkpoint(model.eval(), FrameConfig("Pong", 30, 40, background=background)).save(folder)
    return (folder / "model.safetensors").stat().st_size


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SILOT(TINY)
    whole = saved_bytes(model, Background(), tmp_path)
    back = Checkpoint.load(tmp_path).model.state_dict()
    assert all(torch.equal(back[name], value) for name, value in model.state_dict().items())
    model.half().float()
    short = saved_bytes(model, Background(), tmp_path)
    back = Checkpoint.load(tmp_path).model.state_dict()
    assert all(torch.equal(back[name], value) for name, value in model.state_dict().items())
    assert all(value.dtype == torch.float32 for value in back.values())
    assert short < 0.7 * whole  # names and shapes take the rest in a model as small as this


def test_backgrounds_come_back_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(0)
    few, many = torch.tensor([0, 5, 2**24 - 1]), torch.randint(0, 2**24, (1000,))
    background = replace(
        Background(),
        pictures=many[torch.randint(0, 1000, (3, 30, 40))].int(),
        stills=few[torch.randint(0, 3, (3, 30, 40))].int(),
    )
    saved_bytes(SILOT(TINY), background, tmp_path)
    back = Checkpoint.load(tmp_path).frames.background
    assert back.digest() == background.digest()
    assert torch.equal(back.pictures, background.pictures)
    assert torch.equal(back.stills, background.stills)
