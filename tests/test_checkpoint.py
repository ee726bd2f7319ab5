import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from silot_gym.background import Background
from silot_gym.checkpoint import Checkpoint, CheckpointError, bundled
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT
from silot_gym.object_types import ObjectTypes
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
        static_pictures=few[torch.randint(0, 3, (3, 30, 40))].int(),
    )
    saved_bytes(SILOT(TINY), background, tmp_path)
    back = Checkpoint.load(tmp_path).frames.background
    assert back.tolerance == 7
    assert back.digest() == background.digest()
    assert torch.equal(back.pictures, background.pictures)
    assert torch.equal(back.static_pictures, background.static_pictures)


def typed(count: int = 3) -> Checkpoint:
    rng, features = np.random.default_rng(0), TINY.what_dim + 2
    types = ObjectTypes(
        rng.normal(size=(count, features)).astype(np.float32),
        rng.normal(size=(features, features)).astype(np.float32),
        np.arange(count),
    )
    return Checkpoint(SILOT(TINY).eval(), FrameConfig("Pong", 30, 40), types=types)


def test_types_and_their_names_come_back_as_they_were(tmp_path: Path) -> None:
    checkpoint = typed().with_names({0: "ball", 2: "Schläger"})
    checkpoint.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["types"]["names"][0] == "ball"
    types, back = checkpoint.types, Checkpoint.load(tmp_path).types
    assert types is not None and back is not None
    assert back.names == ("ball", "", "Schläger")
    for name in ("centres", "projection", "most"):
        np.testing.assert_array_equal(getattr(back, name), getattr(types, name))


def test_a_checkpoint_of_format_6_has_no_types(tmp_path: Path) -> None:
    replace(typed(), types=None).save(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    assert config["format_version"] == 7 and config.pop("types") is None
    file.write_text(json.dumps(config | {"format_version": 6}))
    old = Checkpoint.load(tmp_path)
    assert old.types is None
    with pytest.raises(ValueError, match=r"types to name, got one without: .* types --checkpoint"):
        old.with_names({0: "ball"})
    file.write_text(json.dumps(config | {"format_version": 5}))
    with pytest.raises(CheckpointError, match="expected format version 6 to 7, got 5"):
        Checkpoint.load(tmp_path)


def test_names_of_types_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match=r"numbers of types, 0 to 2, got \[3\]"):
        typed().with_names({0: "ball", 3: "paddle"})


def test_damaged_types_are_refused(tmp_path: Path) -> None:
    typed().save(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["types"]["most"] = [1]
    file.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"does not fit: expected counts and names of 3"):
        Checkpoint.load(tmp_path)


def test_bundled_checkpoints_have_types() -> None:
    for name in bundled():
        types = Checkpoint.load(name).types
        assert types is not None and 1 <= len(types) <= 12, name


def test_checkpoints_from_before_there_was_a_tolerance_have_none(tmp_path: Path) -> None:
    saved_bytes(SILOT(TINY), Background(tolerance=7), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["frames"]["tolerance"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Checkpoint.load(tmp_path).frames.background.tolerance == 0
