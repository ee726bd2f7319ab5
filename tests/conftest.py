"""What tests of several modules share."""

import numpy as np
import pytest
import torch

from silot_gym.calibration.calibration import Calibration
from silot_gym.checkpoint import Checkpoint
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT, ModelConfig
from silot_gym.object_types import ObjectTypes

TINY = ModelConfig(
    glimpse_size=4,
    what_dim=4,
    hidden_dim=8,
    backbone_channels=(8, 8),
    feature_dim=8,
    encoder_dims=(8,),
    decoder_dims=(8,),
    head_dims=(8,),
)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """Folder of an untrained model that sees objects come, stay for some steps, and go."""
    torch.manual_seed(0)
    model = SILOT(TINY).eval().requires_grad_(False)
    found, kept = model.discovery.presence_head[-1], model.propagation.presence_head[-1]
    found.weight *= 30  # some cells hold an object, others don't
    found.bias -= 3
    kept.bias += 1
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    Checkpoint(model, Calibration(FrameConfig(game=None, height=210, width=160))).save(folder)
    return folder


@pytest.fixture(scope="session")
def typed_checkpoint(tiny_checkpoint, tmp_path_factory):
    """The same with three types, told apart by the first feature; two of them have names."""
    centres = np.zeros((3, TINY.what_dim + 2), np.float32)
    centres[:, 0] = -0.01, 0, 0.01
    projection = np.zeros((TINY.what_dim + 2,) * 2, np.float32)
    projection[0, 0] = 1
    types = ObjectTypes(centres, projection, np.ones(3, np.int64), ("low", "", "high"))
    folder = tmp_path_factory.mktemp("checkpoints") / "typed"
    Checkpoint.load(tiny_checkpoint).with_calibration(types=types).save(folder)
    return folder
