"""SILOT, in the order in which section 3 of the paper tells it."""

from silot_gym.model.config import ModelConfig
from silot_gym.model.silot import SILOT, StepOutput

__all__ = ["SILOT", "ModelConfig", "StepOutput"]
