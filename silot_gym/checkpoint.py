"""A trained model as a folder: weights, configuration, metrics. Nothing in it is executed."""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from silot_gym.background import Background
from silot_gym.device import check_device
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT, ModelConfig
from silot_gym.object_types import FIND, ObjectTypes

FORMAT_VERSION = 7
_OLDEST = 6  # which knows no types of objects
_WEIGHTS, _CONFIG, METRICS = "model.safetensors", "config.json", "metrics.json"
_BACKGROUND = {name: f"background.{name}" for name in ("colours", "pictures", "stills")}
"""The background's tensors, and what the names of their palettes and indices begin with."""
_TYPES = {name: f"types.{name}" for name in ("centres", "projection")}
_BUNDLED = Path(__file__).parent / "checkpoints"


class CheckpointError(ValueError):
    """A checkpoint that can't be found, read or understood."""


@dataclass(frozen=True)
class Checkpoint:
    """A model and what is needed to use it.

    Attributes:
        model: in evaluation mode.
        frames: the frames it was made for.
        num_slots: K in play.
        presence_threshold: presence in [0, 1] from which on a slot counts as an object. Below one
            half, since the presence of a track that was in doubt once does not rise again.
        types: the types of its game's objects; None if they were never looked for.
        origin: how it was made (command, seed, steps, package versions).
    """

    model: SILOT
    frames: FrameConfig
    num_slots: int = 64
    presence_threshold: float = 0.4
    types: ObjectTypes | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def with_names(self, names: Mapping[int, str]) -> "Checkpoint":
        """The same checkpoint with names for some of the types, as `info["objects"]` shows them.

        Example:
            >>> Checkpoint.load("Pong").with_names({0: "ball"}).save("runs/Pong-named")

        Raises:
            ValueError: a number belongs to no type, or there are no types.
        """
        if self.types is None:
            raise ValueError(f"expected a checkpoint with types to name, got one without: {FIND}")
        return replace(self, types=self.types.with_names(names))

    def save(self, folder: str | Path) -> None:
        """Write the checkpoint to a folder, over an older one that may be there.

        The configuration names the digest of the weights and comes last, so that a folder whose
        writing was cut short is never taken for whole.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: _in_short(value) for name, value in self.model.state_dict().items()}
        background = self.frames.background
        for name, key in _BACKGROUND.items():
            palette, index = getattr(background, name).unique(return_inverse=True)
            tensors[f"{key}.palette"] = palette
            tensors[f"{key}.index"] = index.to(torch.uint8 if len(palette) <= 256 else torch.int32)
        types = self.types
        if types is not None:
            tensors |= {key: torch.from_numpy(getattr(types, n)) for n, key in _TYPES.items()}
        weights = tensors_to_bytes(tensors)
        config = {
            "format_version": FORMAT_VERSION,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "model": dataclasses.asdict(self.model.config),
            "frames": self.frames.numbers()
            | {n: getattr(background, n) for n in ("most_drawn", "tolerance", "displays")},
            "num_slots": self.num_slots,
            "presence_threshold": self.presence_threshold,
            "types": types and {"most": types.most.tolist(), "names": types.names},
            "origin": self.origin,
        }
        write_atomically(folder / _WEIGHTS, weights)
        write_atomically(folder / _CONFIG, (json.dumps(config, indent=2) + "\n").encode())

    @classmethod
    def load(cls, checkpoint: str | Path, device: str | torch.device = "cpu") -> "Checkpoint":
        """Read a checkpoint from a folder, or a bundled one by the name of its game.

        Raises:
            CheckpointError: it is missing, damaged, truncated, or of another format.
            ValueError: there is no such device.
        """
        check_device(device)
        folder = folder_of(checkpoint)
        config = _read_config(folder)
        try:
            weights = (folder / _WEIGHTS).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{folder}: can't read {_WEIGHTS}: {error.strerror}") from None
        if hashlib.sha256(weights).hexdigest() != config.get("weights_sha256"):
            raise CheckpointError(
                f"{folder}: {_WEIGHTS} is damaged or not the one that {_CONFIG} was written for "
                f"({len(weights)} bytes): copy or train it again"
            )
        try:
            model = SILOT(ModelConfig(**_with_tuples(config["model"])))
            tensors = load_tensors(weights)
            frames = _with_tuples(config["frames"])
            background = Background(
                **{
                    name: tensors.pop(f"{key}.palette")[tensors.pop(f"{key}.index").long()]
                    for name, key in _BACKGROUND.items()
                },
                most_drawn=frames.pop("most_drawn"),
                tolerance=frames.pop("tolerance", 0),  # older checkpoints have none
                displays=tuple(tuple(region) for region in frames.pop("displays")),
            )
            types = config.get("types")  # which format 6 doesn't have
            if types is not None:
                types = ObjectTypes(
                    **{name: tensors.pop(key).numpy() for name, key in _TYPES.items()},
                    most=np.array(types["most"], np.int64),
                    names=tuple(types["names"]),
                )
            model.load_state_dict(tensors)
            found = cls(
                model=model.eval().requires_grad_(False),
                frames=FrameConfig(**frames, background=background),
                num_slots=int(config["num_slots"]),
                presence_threshold=float(config["presence_threshold"]),
                types=types,
                origin=dict(config["origin"]),
            )
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{folder}: {_CONFIG} does not fit: {reason:.200}") from None
        found.model.to(device)
        on_device = replace(found.frames, background=found.frames.background.to(device))
        return replace(found, frames=on_device)


def _in_short(weights: Tensor) -> Tensor:
    """The same numbers in half precision, where that has them all; see `training.fit`."""
    half = weights.half()
    return (half if torch.equal(half.to(weights.dtype), weights) else weights).contiguous()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, even if the process is killed meanwhile.

    Raises:
        OSError: it can't be written; an older file of that name is as it was.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        message = f"can't write {path}, what was saved before is kept: {error.strerror}"
        raise OSError(error.errno, message) from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
    if str(checkpoint) in bundled():
        return bundled()[str(checkpoint)]
    if folder.is_dir():
        raise CheckpointError(
            f"expected a checkpoint in {folder}, found no {_CONFIG}: pass the folder of a finished "
            "run, or finish this one with --resume"
        )
    raise CheckpointError(
        f"expected a checkpoint's folder or one of {list(bundled()) or 'no'} bundled names, got "
        f"{str(checkpoint)!r}: make one with `python pretrain/collect_and_train.py --game <Game>`"
    )


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / _CONFIG).read_text())
        version = config["format_version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{folder}: {_CONFIG} is damaged: expected JSON with a format_version"
        ) from None
    if version not in range(_OLDEST, FORMAT_VERSION + 1):
        raise CheckpointError(
            f"{folder}: expected format version {_OLDEST} to {FORMAT_VERSION}, got {version}: "
            "update silot_gym, or train the checkpoint again with this version"
        )
    return dict(config)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration from JSON, which has lists for tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
