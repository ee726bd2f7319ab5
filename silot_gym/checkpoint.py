"""A trained model as a folder: weights, calibration, how to play it. Nothing in it is executed."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from silot_gym.arithmetic import single_precision
from silot_gym.calibration.calibration import Calibration, CalibrationSettings
from silot_gym.checkpoint_formats import FORMAT_VERSION, OLDEST_VERSION, Parts, upgraded
from silot_gym.device import check_device
from silot_gym.files import read_plain, write_atomically
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT, ModelConfig
from silot_gym.object_types import FIND, ObjectTypes
from silot_gym.play.config import PlayConfig

_WEIGHTS, _CALIBRATION = "model.safetensors", "calibration.safetensors"
_CONFIG, METRICS = "config.json", "metrics.json"
MOST_TEXT, MOST_WEIGHTS = 2**20, 2**28
"""Bytes of the largest configuration and of the largest file of tensors that are read."""
MOST_COLOURS, MOST_PICTURES = 1024, 64
"""Colours and pictures of the largest background."""
_BUNDLED = Path(__file__).parent / "checkpoints"


class CheckpointError(ValueError):
    """A checkpoint that can't be found, read or understood."""


class _Config(BaseModel):
    """What `config.json` holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format_version: int
    weights_sha256: str
    calibration_sha256: str
    model: ModelConfig
    calibration: CalibrationSettings
    play: PlayConfig
    origin: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A model and what is needed to use it on a game.

    Attributes:
        model: in evaluation mode.
        calibration: what was measured on the game.
        play: how the model is played.
        origin: how it was made (command, seed, steps, package versions).
        folder: where it was loaded from; None if it was made or changed since.
    """

    model: SILOT
    calibration: Calibration
    play: PlayConfig = PlayConfig()
    origin: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = field(default=None, init=False, compare=False)

    @property
    def frames(self) -> FrameConfig:
        """The frames that it was made for."""
        return self.calibration.frames

    @property
    def num_slots(self) -> int:
        """K in play."""
        return self.calibration.num_slots

    @property
    def types(self) -> ObjectTypes | None:
        """The types of its game's objects; None if they were never looked for."""
        return self.calibration.types

    def with_calibration(self, **changes: Any) -> "Checkpoint":
        """The same checkpoint with some fields of its calibration changed."""
        return replace(self, calibration=replace(self.calibration, **changes))

    def with_names(self, names: Mapping[int, str]) -> "Checkpoint":
        """The same checkpoint with names for some of the types, as `info["objects"]` shows them.

        Example:
            >>> Checkpoint.load("Pong").with_names({0: "ball"}).save("runs/Pong-named")

        Raises:
            ValueError: a number belongs to no type, or there are no types.
        """
        if self.types is None:
            raise ValueError(f"expected a checkpoint with types to name, got one without: {FIND}")
        return self.with_calibration(types=self.types.with_names(names))

    def save(self, folder: str | Path) -> None:
        """Write the checkpoint to a folder, over an older one that may be there.

        The configuration names the digests of weights and calibration and comes last, so that a
        folder whose writing was cut short is never taken for whole.

        Raises:
            ValueError: a weight is not finite.
            OSError: a file can't be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        halved = {name: _in_half(value) for name, value in self.model.state_dict().items()}
        _check_finite(halved)
        weights = tensors_to_bytes(halved)
        calibration = tensors_to_bytes(self.calibration.tensors())
        config = {
            "format_version": FORMAT_VERSION,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "calibration_sha256": hashlib.sha256(calibration).hexdigest(),
            "model": dataclasses.asdict(self.model.config),
            "calibration": self.calibration.settings(),
            "play": dataclasses.asdict(self.play),
            "origin": self.origin,
        }
        write_atomically(folder / _WEIGHTS, weights)
        write_atomically(folder / _CALIBRATION, calibration)
        write_atomically(folder / _CONFIG, (json.dumps(config, indent=2) + "\n").encode())

    @classmethod
    @single_precision()
    def load(cls, checkpoint: str | Path, device: str | torch.device = "cpu") -> "Checkpoint":
        """Read a checkpoint from a folder, or a bundled one by the name of its game.

        Raises:
            CheckpointError: it is missing, damaged, truncated, or of another format.
            ValueError: there is no such device.
        """
        check_device(device)
        folder = folder_of(checkpoint)
        values = _read_config(folder)
        weights = _read_tensors(folder, _WEIGHTS, values.get("weights_sha256"))
        calibration = {}
        if values["format_version"] == FORMAT_VERSION:
            calibration = _read_tensors(folder, _CALIBRATION, values.get("calibration_sha256"))
        try:
            values, weights, calibration = upgraded(Parts(values, weights, calibration))
            # From JSON again, where a list may be a tuple.
            config = _Config.model_validate_json(json.dumps(values))
            _check_complete(values["model"], ModelConfig)
            _check_numbers({**weights, **calibration})
            model = SILOT(config.model)
            model.load_state_dict(weights)
            found = cls(
                model=model.eval().requires_grad_(False).to(device),
                calibration=Calibration.of(config.calibration, calibration).to(device),
                play=config.play,
                origin=config.origin,
            )
            _check_playable(found)
            object.__setattr__(found, "folder", folder)  # not for `replace`, which changes it
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise CheckpointError(
                f"{folder}: {_CONFIG} does not fit: {name}: {first['msg']}"
            ) from None
        except MemoryError:
            raise CheckpointError(f"{folder}: there is too little memory for this model") from None
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{folder}: {_CONFIG} does not fit: {reason:.200}") from None
        return found


def _in_half(weights: Tensor) -> Tensor:
    """The same numbers in half precision, which costs no quality and halves the file."""
    return weights.half().contiguous()


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    for name, value in weights.items():
        if not value.isfinite().all():
            raise ValueError(f"{name} of the model is not finite: the training has broken down")


def bundled() -> dict[str, Path]:
    """Folders of the checkpoints that come with the package, by the names of their games."""
    return {path.parent.name: path.parent for path in sorted(_BUNDLED.glob(f"*/{_CONFIG}"))}


def bundled_for(game: str) -> Path:
    """The folder of the checkpoint that comes with the package for a game, as `ale_py` spells it.

    Raises:
        CheckpointError: there is none.
    """
    folders = bundled()
    if game not in folders:
        raise CheckpointError(
            f"no checkpoint is bundled for {game}: make one with "
            f"`python pretrain/collect_and_train.py --game {game}` and pass its folder"
        )
    return folders[game]


def folder_of(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint that is given by its folder or by a bundled name.

    Raises:
        CheckpointError: there is none.
    """
    folder = Path(checkpoint)
    if (folder / _CONFIG).is_file():
        return folder
    names = {_normalised(name): path for name, path in bundled().items()}
    if _normalised(str(checkpoint)) in names:
        return names[_normalised(str(checkpoint))]
    if folder.is_dir():
        raise CheckpointError(
            f"expected a checkpoint in {folder}, found no {_CONFIG}: pass the folder of a finished "
            "run, or finish this one with --resume"
        )
    raise CheckpointError(
        f"expected a checkpoint's folder or one of {list(bundled()) or 'no'} bundled names, got "
        f"{str(checkpoint)!r}: make one with `python pretrain/collect_and_train.py --game <Game>`"
    )


def _normalised(name: str) -> str:
    """A game's name without what differs between its spellings."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _read_config(folder: Path) -> dict[str, Any]:
    """What is in the configuration, of a version that can be read."""
    try:
        content = read_plain(folder / _CONFIG, MOST_TEXT)
    except (OSError, ValueError) as error:
        raise CheckpointError(str(error)) from None
    try:
        config = json.loads(content)
        version = config["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"{folder}: {_CONFIG} is damaged: expected JSON with a format_version"
        ) from None
    if type(version) is not int or version not in range(OLDEST_VERSION, FORMAT_VERSION + 1):
        raise CheckpointError(
            f"{folder}: expected format version {OLDEST_VERSION} to {FORMAT_VERSION}, got "
            f"{version}: update silot_gym, or train the checkpoint again with this version"
        )
    return dict(config)


def _read_tensors(folder: Path, name: str, digest: Any) -> dict[str, Tensor]:
    """The tensors of a file that has this digest."""
    try:
        content = read_plain(folder / name, MOST_WEIGHTS)
    except (OSError, ValueError) as error:
        raise CheckpointError(str(error)) from None
    except MemoryError:
        raise CheckpointError(f"{folder / name}: there is too little memory to read it") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(
            f"{folder}: {name} is damaged or not the one that {_CONFIG} was written for "
            f"({len(content)} bytes): copy or train it again"
        )
    try:
        tensors: dict[str, Tensor] = load_tensors(content)
    except SafetensorError as error:
        raise CheckpointError(f"{folder}: {name} is no file of tensors: {error}") from None
    return tensors


def _check_complete(values: dict[str, Any], kind: type[ModelConfig]) -> None:
    """Refuse what would be filled by defaults, which change with the version."""
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in values]
    if missing:
        raise ValueError(f"expected {', '.join(missing)}, which are missing")


def _check_numbers(tensors: dict[str, Tensor]) -> None:
    """Refuse weights and the like that are no numbers, or infinite."""
    for name, value in tensors.items():
        whole = name.startswith("background")
        if value.is_floating_point() == whole or not value.isfinite().all():
            kind = "whole" if whole else "finite floating-point"
            raise ValueError(f"expected {kind} numbers as {name}, got {value.dtype}")


def _check_playable(checkpoint: Checkpoint) -> None:
    """Refuse what would fail or take all memory at the first frame."""
    background, types = checkpoint.frames.background, checkpoint.types
    if not 1 <= len(background.colours) <= MOST_COLOURS:
        raise ValueError(f"expected 1 to {MOST_COLOURS} colours, got {len(background.colours)}")
    for pictures in (background.pictures, background.static_pictures):
        if pictures.dim() != 3 or len(pictures) > MOST_PICTURES:
            raise ValueError(
                f"expected at most {MOST_PICTURES} pictures, got {tuple(pictures.shape)}"
            )
    if background.colours.dim() != 1:
        raise ValueError(f"expected a list of colours, got {tuple(background.colours.shape)}")
    if any(x0 >= x1 or y0 >= y1 for x0, y0, x1, y1 in background.hud):
        raise ValueError(f"expected regions (x0, y0, x1, y1) of the HUD, got {background.hud}")
    described = checkpoint.model.config.what_dim + 2
    if types is not None and len(types.projection) != described:
        raise ValueError(f"expected types of {described} numbers, got {len(types.projection)}")
