"""Tracked objects for Stable-Baselines3: vector environments, and networks that read slots."""

from silot_gym.sb3.slot_networks import DeepSetExtractor, SlotAttentionExtractor
from silot_gym.sb3.slot_vector import SlotVector
from silot_gym.sb3.vec_wrapper import SILOTVecWrapper

__all__ = ["DeepSetExtractor", "SILOTVecWrapper", "SlotAttentionExtractor", "SlotVector"]
