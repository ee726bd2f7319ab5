"""All that a training knows of itself, in memory and in one file."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from silot_gym.checkpoint import write_atomically
from silot_gym.model import SILOT

RESUME_FILE = "resume.pt"


class TrainingError(RuntimeError):
    """Training can't go on, or can't be resumed."""


@dataclass
class TrainingState:
    """A model in training. What step n draws comes from the seed and n, so no generator is kept.

    Attributes:
        model: what is trained.
        optimizer: its optimiser.
        settings: what the training was asked to do; a file with other settings is refused.
        folder: where the file is.
        writes: whether `save` does anything; of several processes one does.
        step: updates done.
        steps_back: how often the training went back to a save after an explosion.
        first_loss: nats a frame before the first update.
        seconds: of training so far.
        places: (B, 4) where the clips of the next update go on; see `ClipSampler.following`.
        objects: attributes of the objects that were tracked there; None if there are none yet.
    """

    model: SILOT
    optimizer: torch.optim.Optimizer
    settings: dict[str, Any]
    folder: Path
    writes: bool = True
    step: int = 0
    steps_back: int = 0
    first_loss: float = math.nan
    seconds: float = 0.0
    places: Tensor | None = None
    objects: dict[str, Tensor] | None = None

    _COUNTERS = ("step", "steps_back", "first_loss", "seconds")

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if not self.writes:
            return
        content = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "places": self.places,
            "objects": self.objects,
            **{name: getattr(self, name) for name in self._COUNTERS},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomically(self.folder / RESUME_FILE, buffer.getvalue())

    def load(self) -> None:
        """Take up the training that the file holds.

        Raises:
            TrainingError: the file is damaged, or of a training with other settings.
        """
        path = self.folder / RESUME_FILE
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            found = content["settings"]
        except Exception:
            # What a damaged archive raises depends on where it is damaged.
            raise TrainingError(
                f"{path} is damaged: delete it to train from the start on the same rollouts"
            ) from None
        for name in sorted(found.keys() | self.settings.keys()):
            if found.get(name) != self.settings.get(name):
                raise TrainingError(
                    f"{path} is of a training with {name} = {found.get(name)}, but "
                    f"{self.settings.get(name)} was asked for: resume with the same settings, or "
                    "choose another --out"
                )
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.places, self.objects = content["places"], content["objects"]
        for name in self._COUNTERS:
            setattr(self, name, content[name])

    def step_back(self, loss: float, most: int = 3) -> None:
        """Return to the last save after an explosion, and draw differently from there on.

        Raises:
            TrainingError: it has happened too often.
        """
        step, times = self.step, self.steps_back + 1
        if times > most:
            raise TrainingError(
                f"the loss was {loss:.3g} nats by step {step}, after {most} returns to an earlier "
                "save: try a lower --learning-rate"
            )
        self.load()
        self.steps_back = times
        self.save()


def flat_settings(**groups: dict[str, Any]) -> dict[str, Any]:
    """Groups of plain values, some of them groups again, as one dictionary by dotted names."""
    flat: dict[str, Any] = {}
    for group, values in groups.items():
        for name, value in values.items():
            inner = value if isinstance(value, dict) else {"": value}
            flat |= {".".join(filter(None, (group, name, k))): v for k, v in inner.items()}
    return flat
