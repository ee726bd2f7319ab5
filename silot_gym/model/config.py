"""What a SILOT model is made of, as numbers."""

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=1024)]
Length = Annotated[float, Field(ge=0, le=1024, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=-1024, le=1024, allow_inf_nan=False)]
Layers = Annotated[tuple[Count, ...], Field(max_length=8)]


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and priors of a SILOT model.

    The defaults are for Atari on a small machine; `paper_atari` has the paper's values. Where a
    default differs from them, the line says why. Lengths are in pixels of `pixel_size`, standard
    deviations of priors in units of the latents (logits).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_slots: Count = 36
    """K, the most objects that are kept from frame to frame. Play may use another number."""
    anchor_size: tuple[Length, Length] = (24.0, 24.0)
    """Width and height of the largest object at scale 1; the paper has 30, and 24 for Space
    Invaders. Crops to train on must be larger: in smaller ones a single object may explain all that
    there is."""
    pixel_size: Annotated[int, Field(ge=1, le=16)] = 1
    """Side in the frame's pixels of what the model takes for a pixel: more for games whose objects
    are large. (Otherwise the likelihood outweighs the priors, and large objects are split.)"""
    scales: Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(max_length=4)] = (1,)
    """Scales at which objects are discovered: at scale 3, cells and anchors are three times as
    large. The paper has one."""
    glimpse_size: Annotated[int, Field(ge=1, le=64)] = 16
    """Side of glimpses and sprites in texels; 21 in the paper. It must not be much smaller
    than most objects: boxes grow to where a texel is a pixel (at 12, all were 11.7 wide)."""
    what_dim: Count = 32
    """Length of the appearance vector; 64 in the paper: Atari's sprites are few and simple."""
    hidden_dim: Count = 64
    """Length of an object's recurrent state; 128 in the paper."""
    backbone_channels: tuple[Count, Count] = (32, 64)
    """Filters of the backbone's first convolution, and of the others; 128 in the paper: a sixth of
    the arithmetic."""
    feature_dim: Count = 64
    """Length of a cell's and of an object's feature vector."""
    encoder_dims: Layers = (128,)
    """Hidden layers from glimpse to features; (512, 256) in the paper. One encoder for discovery
    and propagation alike learned far worse than one for each."""
    decoder_dims: Layers = (128,)
    """Hidden layers from appearance to sprite; (256, 512) in the paper."""
    head_dims: Layers = (100,)
    """Hidden layers of the heads that predict attributes; two of 100 in the paper."""
    attention_std: Length = 6.0
    """Width of the spatial attention's kernel; a tenth of the anchor in the paper, which hardly
    reaches from one cell's centre to the next."""
    object_attention: bool = False
    """Whether objects attend to each other in propagation (the paper: not for Atari)."""
    search_margin: Length = 12.0
    """How much wider than the object the first glimpse of propagation is; 0 in the paper, where
    an object that moves by more than its own size leaves its glimpse."""
    glimpse_step: Length = 0.1
    """How strongly the first glimpse follows its network, in anchors; as in the paper."""
    cell_offset: tuple[Number, Number] = (-0.5, 1.5)
    """How far an object's centre may lie from its cell's origin, in cells; the paper's b_min and
    b_max."""
    initial_std: Length = 0.1
    """Standard deviation of positions and sizes before training; 1 in the paper, with which first
    looks go to random places, and MOTA .80 takes a little longer."""
    initial_size: tuple[Length, Length] = (12.0, 12.0)
    """Width and height of boxes before training, in pixels; half an anchor in the paper, from
    where boxes grow over several objects at once. (From 16 pixels on, learning is faster, but some
    seeds of Space Invaders end with two aliens in a box.)"""
    initial_colour: Number = -1.5
    """What the colours of sprites are before training, before `colour_scale` and the logistic
    function: of brightness .05, so that they hide little before they are learned; 0 in the
    paper."""
    colour_scale: Length = 2.0
    """Factor of the logits of sprites' colours; as in the paper."""
    alpha_scale: Length = 0.1
    """Factor of the logits of sprites' opacity; the paper's for Atari, where sprites are opaque."""
    alpha_bias: Number = 5.0
    """What is added to the logits of sprites' opacity; the paper's for Atari."""
    black_weight: Length = 0.01
    """Weight of what is black where sprites overlap, if that of what is white is 1. A sprite is an
    opaque rectangle, and would cover with its black what is beside it; 1 in the paper."""
    frozen_presence: Number = 3.0
    """Log-odds of presence while it is frozen early in training."""
    presence_temperature: Length = 0.25
    """Of the binary concrete presence; 1 in the paper, where half a presence under twice the
    brightness explains dim sprites at half the price. At 0.5 that still pays for bullets."""
    faint_presence: Length = 0.01
    """Presence below which an object is given up, as presence never rises again; 0 in the paper.
    Empty slots then cost nothing."""
    nms_iou: Length = 0.5
    """Intersection over union from which on a discovered object is left out beside a more present
    one; the paper has no such rule."""

    expected_size: tuple[Length, Length] = (4.0, 4.0)
    """Width and height in pixels where the prior has its mean; 3 in the paper. The prior has to
    let large objects be whole and keep small ones apart, and can't make boxes tight as well:
    `SILOT.boxes` does."""
    size_prior_std: Length = 0.5
    """Of the logit of the size in anchors."""
    shift_prior_std: Length = 0.3
    what_change_prior_std: Length = 0.4

    def __post_init__(self) -> None:
        """Refuse what no model can be built from."""
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            may_be_zero = field.name in ("search_margin", "object_attention", "faint_presence")
            any_sign = field.name in ("cell_offset", "initial_colour", "alpha_bias")
            if not any_sign and any(n < 0 or (n == 0 and not may_be_zero) for n in numbers):
                raise ValueError(f"ModelConfig.{field.name} must be positive, got {value}")
        if len(self.backbone_channels) != 2:
            raise ValueError(
                "ModelConfig.backbone_channels must be two numbers, those of the first and of the "
                f"other convolutions, got {self.backbone_channels}"
            )
        if not self.scales:
            raise ValueError("ModelConfig.scales must name a scale or more, got none")
        if not isinstance(self.anchor_size, tuple) or len(self.anchor_size) != 2:
            raise ValueError(
                f"ModelConfig.anchor_size must be a width and a height, got {self.anchor_size}"
            )
        for name in ("initial_size", "expected_size"):
            size = getattr(self, name)
            if len(size) != 2 or any(a >= b for a, b in zip(size, self.anchor_size, strict=True)):
                raise ValueError(
                    f"ModelConfig.{name} must be a width and a height below anchor_size, "
                    f"{self.anchor_size}, got {size}"
                )

    @classmethod
    def paper_atari(cls, anchor_size: int = 30) -> "ModelConfig":
        """The paper's values for Atari (`anchor_size` 24 for Space Invaders)."""
        return cls(
            num_slots=36,
            anchor_size=(anchor_size, anchor_size),
            glimpse_size=21,
            what_dim=64,
            hidden_dim=128,
            backbone_channels=(128, 128),
            feature_dim=64,
            encoder_dims=(512, 256),
            decoder_dims=(256, 512),
            head_dims=(100, 100),
            attention_std=0.1 * anchor_size,
            search_margin=0.0,
            initial_std=1.0,
            initial_colour=0.0,
            black_weight=1.0,
            faint_presence=0.0,
            initial_size=(anchor_size / 2, anchor_size / 2),
            presence_temperature=1.0,
            expected_size=(anchor_size / 10, anchor_size / 10),
        )
