import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from silot_gym.background import Background
from silot_gym.calibration.calibration import Calibration
from silot_gym.checkpoint import Checkpoint, CheckpointError, bundled
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT
from silot_gym.object_types import ObjectTypes
from silot_gym.play.config import PlayConfig
from tests.tiny import TINY


def saved_bytes(model: SILOT, background: Background, folder: Path) -> int:
    calibration = Calibration(FrameConfig("Pong", 30, 40, background=background))
    Checkpoint(model.eval(), calibration).save(folder)
    return (folder / "model.safetensors").stat().st_size


def test_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SILOT(TINY)
    size = saved_bytes(model, Background(), tmp_path)
    back = Checkpoint.load(tmp_path).model.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(back[name], value.half().float()), name
    assert size < 2.5 * sum(value.numel() for value in model.state_dict().values())


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
    calibration = Calibration(FrameConfig("Pong", 30, 40), (4.0, 9.5), num_slots=5, types=types)
    return Checkpoint(SILOT(TINY).eval(), calibration, PlayConfig(relink_distance=None))


def test_types_and_their_names_come_back_as_they_were(tmp_path: Path) -> None:
    checkpoint = typed().with_names({0: "ball", 2: "Schläger"})
    checkpoint.save(tmp_path)
    assert (
        json.loads((tmp_path / "config.json").read_text())["calibration"]["types"]["names"][0]
        == "ball"
    )
    types, back = checkpoint.types, Checkpoint.load(tmp_path).types
    assert types is not None and back is not None
    assert back.names == ("ball", "", "Schläger")
    for name in ("centres", "projection", "max_count"):
        np.testing.assert_array_equal(getattr(back, name), getattr(types, name))


def test_calibration_and_play_come_back_as_they_were(tmp_path: Path) -> None:
    checkpoint = typed()
    checkpoint.save(tmp_path)
    back = Checkpoint.load(tmp_path)
    assert back.calibration == checkpoint.calibration
    assert back.play == checkpoint.play != PlayConfig()


def in_format(folder: Path, version: int) -> None:
    """Rewrite a checkpoint as an older version wrote it."""
    config = json.loads((folder / "config.json").read_text())
    calibration = config.pop("calibration")
    types = calibration.pop("types")
    numbers = ("game", "height", "width", "frame_skip", "pooled", "flickers")
    tensors = load_file(folder / "model.safetensors")
    for name, value in load_file(folder / "calibration.safetensors").items():
        if version == 7 or not name.startswith("types"):
            tensors[name.replace("static_pictures", "stills")] = value
    save_file(tensors, folder / "model.safetensors")
    (folder / "calibration.safetensors").unlink()
    weights = (folder / "model.safetensors").read_bytes()
    old = {
        "format_version": version,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "model": config["model"],
        "frames": {name: calibration[name] for name in numbers}
        | {"most_drawn": calibration["max_foreground"], "displays": calibration["hud"]},
        "num_slots": calibration["num_slots"],
        "presence_threshold": 0.35,
        "origin": {},
    }
    if version == 7:
        old["frames"]["tolerance"] = calibration["tolerance"]
        old["types"] = {"most": types["max_count"], "names": types["names"]}
    (folder / "config.json").write_text(json.dumps(old))


@pytest.mark.parametrize("version", [6, 7])
def test_checkpoints_of_older_formats_load(tmp_path: Path, version: int) -> None:
    checkpoint = typed().with_names({1: "paddle"})
    checkpoint.save(tmp_path)
    new = Checkpoint.load(tmp_path)
    in_format(tmp_path, version)
    old = Checkpoint.load(tmp_path)
    for name, value in new.model.state_dict().items():
        assert torch.equal(old.model.state_dict()[name], value)
    assert old.frames == new.frames and old.num_slots == new.num_slots
    assert old.frames.background.digest() == new.frames.background.digest()
    assert old.play == PlayConfig(presence_threshold=0.35)
    if version == 7:
        assert old.types is not None and old.types.names == ("", "paddle", "")
        return
    assert old.types is None
    with pytest.raises(ValueError, match=r"types to name, got one without: .* types --checkpoint"):
        old.with_names({0: "ball"})


def test_still_older_formats_are_refused(tmp_path: Path) -> None:
    typed().save(tmp_path)
    in_format(tmp_path, 5)
    with pytest.raises(CheckpointError, match="expected format version 6 to 8, got 5"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"play": {"relink_distence": 3.0}}, r"play.relink_distence"),
        ({"play": {"fit_boxes": "yes"}}, r"play.fit_boxes: .* boolean"),
        ({"calibration": {}}, r"calibration.game: Field required"),
        ({"model": []}, r"model: Input should be .*"),
        ({"model": {"num_slots": 0}}, r"num_slots must be positive, got 0"),
        ({"more": 1}, r"more: Extra inputs"),
    ],
)
def test_a_configuration_of_another_shape_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    typed().save(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=message) as refused:
        Checkpoint.load(tmp_path)
    assert "\n" not in str(refused.value)


def test_names_of_types_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match=r"numbers of types, 0 to 2, got \[3\]"):
        typed().with_names({0: "ball", 3: "paddle"})


def test_damaged_types_are_refused(tmp_path: Path) -> None:
    typed().save(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["calibration"]["types"]["max_count"] = [1]
    file.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"does not fit: expected counts and names of 3"):
        Checkpoint.load(tmp_path)


def test_bundled_checkpoints_have_types() -> None:
    for name in bundled():
        types = Checkpoint.load(name).types
        assert types is not None and 1 <= len(types) <= 12, name
