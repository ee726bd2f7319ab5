"""A model that is quick to make and to train."""

from silot_gym.model import ModelConfig

TINY = ModelConfig(
    num_slots=8,
    glimpse_size=6,
    what_dim=8,
    hidden_dim=8,
    backbone_channels=(8, 8),
    feature_dim=16,
    encoder_dims=(32,),
    decoder_dims=(32,),
    head_dims=(16,),
)
