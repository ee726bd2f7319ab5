"""Some updates, by any number of processes: few_steps.py PROCESSES FOLDER STEPS."""

import sys
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT
from silot_gym.rollouts import Episode
from silot_gym.training.clips import ClipSampler
from silot_gym.training.loop import FitConfig, fit
from silot_gym.training.objective import SILOTObjective
from silot_gym.training.schedule import Schedule
from silot_gym.training.stream import ClipStream
from tests.tiny import TINY


def main(processes: int, folder: Path, steps: int) -> None:
    """Take the step. Each process has noise of its own: in evaluation mode there is none."""
    torch.manual_seed(0)
    frames = np.random.default_rng(0).integers(0, 3, (20, 48, 48), np.uint8)
    palette = np.array([[0, 0, 0], [200, 100, 30], [20, 250, 90]], np.uint8)
    episode = Episode(frames, palette, np.zeros(20, np.int64))
    sampler = ClipSampler([episode], FrameConfig("Pong", 48, 48), 36)
    strategy = "auto" if processes == 1 else "ddp_find_unused_parameters_true"
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy)
    fabric.launch()
    config = FitConfig(Schedule(steps, curriculum=((0.0, 3),), carry_over=0.0), batch_size=4)
    model = SILOT(TINY).eval()
    objective = SILOTObjective(model, config.schedule)
    fit(
        objective,
        ClipStream(sampler, config.schedule, config.batch_size, fabric),
        sampler.draw(np.random.default_rng(0), 1, 3),
        config,
        folder,
        fabric=fabric,
        progress=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
