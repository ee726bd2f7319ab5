import errno
import hashlib
import json
import os
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
        ({"model": {"num_slots": 0}}, r"model.num_slots: Input should be greater"),
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


def changed(folder: Path, *path: str, value: object = None) -> None:
    """Set a value deep in `config.json`, or take it out."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    inner = config
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("play.presence_threshold", float("nan")),
        ("play.presence_threshold", 2.0),
        ("play.presence_threshold", -1.0),
        ("play.relink_distance", float("inf")),
        ("calibration.num_slots", 0),
        ("calibration.num_slots", -1),
        ("calibration.num_slots", 10**9),
        ("calibration.hud", [[0.0, 0.0, 1.0, 2.0]]),
        ("calibration.hud", [[0.5, 0.0, 0.4, 1.0]]),
        ("calibration.height", 10**7),
        ("calibration.brightness_floor", 1.0),
        ("calibration.tolerance", 256),
        ("model.what_dim", 10**7),
        ("model.scales", [1] * 10_000),
        ("model.glimpse_size", 10**6),
        ("model.head_dims", [10**6]),
        ("model.anchor_size", [float("inf"), 24.0]),
        ("model.black_weight", None),
        ("calibration.width", None),
        ("format_version", True),
    ],
)
def test_what_could_never_be_played_is_refused(tmp_path: Path, path: str, value: object) -> None:
    typed().save(tmp_path)
    changed(tmp_path, *path.split("."), value=value)
    with pytest.raises(CheckpointError) as refused:
        Checkpoint.load(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "name", "value", "message"),
    [
        ("calibration", "background.colours.index", torch.tensor([9], dtype=torch.uint8), "below"),
        ("calibration", "background.colours.index", torch.tensor([-1], dtype=torch.int32), "below"),
        ("calibration", "background.colours.palette", torch.tensor([0.5]), "whole numbers"),
        (
            "calibration",
            "background.colours.index",
            torch.zeros(200_000, dtype=torch.uint8),
            "1 to 1024 colours",
        ),
        ("calibration", "types.centres", torch.full((3, 18), torch.nan), "finite"),
        ("model", "discovery.initial_hidden", torch.full((16,), torch.nan), "finite"),
        ("model", "discovery.initial_hidden", torch.zeros(16, dtype=torch.int64), "floating"),
    ],
)
def test_tensors_that_could_never_be_played_are_refused(
    tmp_path: Path, file: str, name: str, value: torch.Tensor, message: str
) -> None:
    typed().save(tmp_path)
    path = tmp_path / f"{file}.safetensors"
    tensors = load_file(path)
    assert name in tensors
    save_file({**tensors, name: value}, path)
    key = {"model": "weights_sha256", "calibration": "calibration_sha256"}[file]
    changed(tmp_path, key, value=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "calibration.safetensors"])
def test_files_that_are_too_large_or_no_files_are_not_read(tmp_path: Path, name: str) -> None:
    typed().save(tmp_path)
    with (tmp_path / name).open("r+b") as file:
        file.truncate(2**33)  # a hole, which takes no room
    with pytest.raises(CheckpointError, match=r"at most [\d,]+ bytes, got 8,589,934,592"):
        Checkpoint.load(tmp_path)
    (tmp_path / name).unlink()
    if name != "config.json":  # or there is no checkpoint
        os.mkfifo(tmp_path / name)
        with pytest.raises(CheckpointError, match="it is no plain file"):
            Checkpoint.load(tmp_path)


def test_deeply_nested_json_is_damage(tmp_path: Path) -> None:
    typed().save(tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"config.json is damaged"):
        Checkpoint.load(tmp_path)


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    typed().save(tmp_path)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CheckpointError, match=r"can't read .*config.json: Permission denied"):
        Checkpoint.load(tmp_path)


def test_a_model_that_broke_down_is_not_saved(tmp_path: Path) -> None:
    checkpoint = typed()
    with torch.no_grad():
        checkpoint.model.discovery.initial_hidden[0] = 1e6  # infinite in half precision
    with pytest.raises(ValueError, match=r"discovery.initial_hidden.* not finite"):
        checkpoint.save(tmp_path)
    assert not (tmp_path / "config.json").exists()


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
