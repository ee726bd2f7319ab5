"""Atari pixels into tracked objects, without labels."""

from silot_gym.atari import make_atari
from silot_gym.checkpoint import Checkpoint
from silot_gym.play.tracker import SlotTracker
from silot_gym.slot_vector import SlotVectorObservation
from silot_gym.vector import SILOTObjectVectorWrapper
from silot_gym.wrappers import SILOTObjectWrapper

__version__ = "0.1.0"
__all__ = [
    "Checkpoint",
    "SILOTObjectVectorWrapper",
    "SILOTObjectWrapper",
    "SlotTracker",
    "SlotVectorObservation",
    "__version__",
    "make_atari",
]
