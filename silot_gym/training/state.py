"""All that a training knows of itself, in memory and in one file."""

import hashlib
import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from silot_gym.files import read_plain, write_atomically
from silot_gym.training.guard import DivergenceGuard
from silot_gym.training.objective import Objective
from silot_gym.training.stream import ClipStream

RESUME_FILE = "resume.pt"
MOST_BYTES = 2**31
"""Of the largest resume file that is read."""


class TrainingError(RuntimeError):
    """Training can't go on, or can't be resumed."""


@dataclass
class TrainingState:
    """A training. What step n draws comes from the seed and n, so no generator is kept.

    Attributes:
        objective: what is trained, and what it carries over.
        stream: where its clips come from.
        optimizer: its optimizer.
        settings: what the training was asked to do; a file with other settings is refused.
        folder: where the file is.
        fabric: several processes save as one; each has a share of what is carried over.
        guard: against divergence.
        step: updates done.
        seconds: of training so far.
    """

    objective: Objective
    stream: ClipStream
    optimizer: torch.optim.Optimizer
    settings: dict[str, Any]
    folder: Path
    fabric: Fabric
    guard: DivergenceGuard = field(default_factory=DivergenceGuard)
    step: int = 0
    seconds: float = 0.0

    def save(self) -> None:
        """Write the file, whole or not at all. All processes must call this."""
        carried = {name: self._gathered(value) for name, value in self.objective.carried.items()}
        if not self.fabric.is_global_zero:
            return
        places = self.stream.places
        content = {
            "settings": self.settings,
            "model": self.objective.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "places": None if places is None else torch.from_numpy(places),
            "carried": carried,
            "guard": asdict(self.guard),
            "step": self.step,
            "seconds": self.seconds,
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        archive = buffer.getvalue()
        write_atomically(self.folder / RESUME_FILE, hashlib.sha256(archive).digest() + archive)

    def load(self) -> None:
        """Take up the training that the file holds.

        Raises:
            TrainingError: the file is damaged, or of a training with other settings.
        """
        path = self.folder / RESUME_FILE
        content = read_resume_file(path)
        found = content["settings"]
        for name in sorted(found.keys() | self.settings.keys()):
            if found.get(name) != self.settings.get(name):
                raise TrainingError(
                    f"{path} is of a training with {name} = {found.get(name)}, but "
                    f"{self.settings.get(name)} was asked for: resume with the same settings, or "
                    "choose another --out"
                )
        try:
            self._check(content)
            self._take(content)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
            raise TrainingError(
                f"{path} does not hold a training of this version: delete it to train from the "
                "start on the same rollouts"
            ) from None

    def _check(self, content: dict[str, Any]) -> None:
        """Raises ValueError if what a file holds has another form than what would be saved now."""
        model = self.objective.model.state_dict()
        shapes = {name: value.shape for name, value in model.items()}
        if {name: value.shape for name, value in content["model"].items()} != shapes:
            raise ValueError("another model")
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        moments = content["optimizer"]["state"]
        if not {*moments} <= {*range(len(parameters))}:
            raise ValueError("another optimizer")
        for number, kept in moments.items():
            for name, value in kept.items():
                if name != "step" and value.shape != parameters[number].shape:
                    raise ValueError("another optimizer")
        numbers = [
            *content["model"].values(),
            *(v for kept in moments.values() for v in kept.values()),
        ]
        if not all(torch.as_tensor(value).isfinite().all() for value in numbers):
            raise ValueError("numbers that are not finite")
        if not 0 <= content["step"] <= self.settings["fit.schedule.steps"]:
            raise ValueError("a step outside of the schedule")

    def _take(self, content: dict[str, Any]) -> None:
        """Take over what a file holds."""
        self.objective.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        places = content["places"]
        self.stream.places = None if places is None else places.numpy()
        rank, processes = self.fabric.global_rank, self.fabric.world_size
        self.objective.carried = {
            name: self.fabric.to_device(value.chunk(processes)[rank])
            for name, value in content["carried"].items()
        }
        self.guard = DivergenceGuard(**content["guard"])
        self.step, self.seconds = content["step"], content["seconds"]

    def _gathered(self, value: Tensor) -> Tensor:
        """The rows (B, ...) of all processes."""
        if self.fabric.world_size == 1:
            return value
        gathered = self.fabric.all_gather(value)
        assert isinstance(gathered, Tensor)
        return gathered.flatten(0, 1)

    def step_back(self, loss: float) -> None:
        """Return to the last save after an explosion, and draw differently from there on.

        Raises:
            TrainingError: it has happened too often.
        """
        step, times = self.step, self.guard.steps_back + 1
        if times > self.guard.max_steps_back:
            raise TrainingError(
                f"the loss was {loss:.3g} nats by step {step}, after {times - 1} returns to an "
                "earlier save: try a lower --learning-rate"
            )
        self.load()
        self.guard.steps_back = times
        self.save()


def read_resume_file(path: Path) -> dict[str, Any]:
    """What a resume file holds.

    Raises:
        TrainingError: it can't be read, or is damaged.
    """
    try:
        data = read_plain(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise TrainingError(str(error)) from None
    except MemoryError:
        raise TrainingError(f"{path}: there is too little memory to read it") from None
    digest, archive = data[:32], data[32:]
    damaged = hashlib.sha256(archive).digest() != digest
    try:
        if not damaged:
            content: dict[str, Any] = torch.load(
                io.BytesIO(archive), map_location="cpu", weights_only=True
            )
            return content
    except MemoryError:
        raise TrainingError(f"{path}: there is too little memory to read it") from None
    except Exception:  # a file that was made to look whole can hold anything
        pass
    raise TrainingError(
        f"{path} is damaged, or of an earlier version: delete it to train from the start on the "
        "same rollouts"
    )


def flat_settings(**groups: Any) -> dict[str, Any]:
    """Plain values, some of them in groups and groups of groups, by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in groups.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in flat_settings(**value).items()}
        else:
            flat[name] = value
    return flat
