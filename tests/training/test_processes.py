import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from silot_gym.training.state import RESUME_FILE

ROOT = Path(__file__).parents[2]
ONE_STEP = Path(__file__).with_name("one_step.py")


def step(folder: Path, processes: int, *launcher: str) -> dict[str, Any]:
    """What is left of one update on four clips, shared by so many processes."""
    folder.mkdir()
    command = [sys.executable, *launcher, str(ONE_STEP), str(processes), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
    content: dict[str, Any] = torch.load(folder / RESUME_FILE, weights_only=True)
    return content


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    alone = step(tmp_path / "alone", 1)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    for name, launcher in (("torchrun", torchrun), ("fabric", ())):
        shared = step(tmp_path / name, 2, *launcher)
        assert shared["step"] == alone["step"] == 1
        assert shared["first_loss"] == pytest.approx(alone["first_loss"], rel=1e-5)
        moments, expected = (c["optimizer"]["state"] for c in (shared, alone))
        assert len(moments) == len(expected)
        scale = max(moment["exp_avg"].abs().max() for moment in expected.values())
        for number, moment in expected.items():
            # After one step this is a tenth of the gradient.
            torch.testing.assert_close(
                moments[number]["exp_avg"], moment["exp_avg"], rtol=1e-3, atol=1e-5 * float(scale)
            )
