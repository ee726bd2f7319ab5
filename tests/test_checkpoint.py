import json
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
        Background(tolerance=7),
        pictures=many[torch.randint(0, 1000, (3, 30, 40))].int(),
        stills=few[torch.randint(0, 3, (3, 30, 40))].int(),
    )
    saved_bytes(SILOT(TINY), background, tmp_path)
    back = Checkpoint.load(tmp_path).frames.background
    assert back.tolerance == 7
    assert back.digest() == background.digest()
    assert torch.equal(back.pictures, background.pictures)
    assert torch.equal(back.stills, background.stills)


def test_checkpoints_from_before_there_was_a_tolerance_have_none(tmp_path: Path) -> None:
    saved_bytes(SILOT(TINY), Background(tolerance=7), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["frames"]["tolerance"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Checkpoint.load(tmp_path).frames.background.tolerance == 0
