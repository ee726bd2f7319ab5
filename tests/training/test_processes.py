import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from silot_gym.training.state import RESUME_FILE, read_resume_file

ROOT = Path(__file__).parents[2]
FEW_STEPS = Path(__file__).with_name("few_steps.py")


def train(folder: Path, processes: int, steps: int, *launcher: str) -> dict[str, Any]:
    """What is left of some updates on four clips, shared by so many processes."""
    folder.mkdir()
    command = [sys.executable, *launcher, str(FEW_STEPS), str(processes), str(folder), str(steps)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
    content = read_resume_file(folder / RESUME_FILE)
    return content


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", 1, 1)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    for name, launcher in (("torchrun", torchrun), ("fabric", ())):
        shared = train(tmp_path / name, 2, 1, *launcher)
        assert shared["step"] == alone["step"] == 1
        first, expected_first = (c["guard"]["first_loss"] for c in (shared, alone))
        assert first == pytest.approx(expected_first, rel=1e-5)
        moments, expected = (c["optimizer"]["state"] for c in (shared, alone))
        assert len(moments) == len(expected)
        scale = max(moment["exp_avg"].abs().max() for moment in expected.values())
        for number, moment in expected.items():
            # After one step this is a tenth of the gradient.
            torch.testing.assert_close(
                moments[number]["exp_avg"], moment["exp_avg"], rtol=1e-3, atol=1e-5 * float(scale)
            )


@pytest.mark.slow
def test_two_processes_carry_objects_over_as_one_does(tmp_path: Path) -> None:
    alone, shared = (train(tmp_path / str(n), n, 4) for n in (1, 2))
    assert torch.equal(alone["places"], shared["places"])
    for name, value in alone["carried"].items():
        assert shared["carried"][name].shape == value.shape == (4, *value.shape[1:])
    torch.testing.assert_close(
        shared["carried"]["position"], alone["carried"]["position"], rtol=1e-3, atol=1e-2
    )
