"""What happens in play besides the model's own recursion, as numbers and switches."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from silot_gym.background import Background, Region

Share = Annotated[float, Field(gt=0, le=1)]
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class PlayConfig:
    """How a trained model is played.

    Each step of play that the model of the paper does not have can be switched off by itself;
    `plain()` switches all of them off. Lengths are in pixels of the frame.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    presence_threshold: Share = 0.4
    """Presence in [0, 1] from which on a slot counts as an object. Below one half, since the
    presence of a track that was in doubt once does not rise again."""

    ignore_hud: bool = True
    """Whether score, lives and clocks are taken for background."""
    ignore_static: bool = True
    """Whether small things that are always there are taken for background."""
    online_background: bool = True
    """Whether the background of unknown rooms, and of known ones in other colours, is learned."""
    recoloured_share: Share = 0.02
    """Share of a frame's pixels that have to show the background in other colours to count."""
    static_frames: Count = 8
    """Frames without change after which a pixel of an unknown room is background."""

    skip_explained: bool = True
    """Whether discovery sees only what no tracked object explains, and looks only near it. Its
    top-down attention is then zero: with it, small objects beside tracked ones are missed."""
    explained_presence: Share = 0.5
    """Presence from which on a tracked object explains what is in its box, and may have
    fragments."""
    explained_margin: Length = 1.0
    """Pixels, of the model, by which an object may be larger than its box."""
    dense_cells: Count = 36
    """Cells of a full pass of discovery that take as long as the neighbourhood of one corner. It
    decides which of the two is done, and nothing else."""

    fit_boxes: bool = True
    """Whether boxes are fitted to the foreground inside them. Sprites are opaque on black, so that
    nothing but a prior makes the model's own boxes tight."""
    part_share: Annotated[float, Field(ge=0, le=1)] = 0.35
    """A part of an object that is apart from its largest part has at least this share of that one's
    pixels: a stripe does, a dot beside a ghost does not."""
    duplicate_iou: Share | None = 0.5
    """Intersection over union of fitted boxes from which on two objects are one; None for never."""
    fragment_overlap: Share | None = 0.25
    """Share of a discovered object's box that lies on a tracked object, from which on it is a
    fragment of that one (a boxer's arm) and left out; None for no fragments at all."""
    fragment_size: Share = 0.8
    """What touches a tracked object and is smaller than this share of it is a fragment, too: what
    is left of an object that propagation has not quite followed."""

    relink_distance: Length | None = 30.0
    """Farthest that an object may jump between frames and keep its identity, where propagation
    loses it and discovery finds it in the same step; None for never."""
    vote_decay: Share = 0.7
    """What a frame's vote for a track's type is worth one frame later."""

    engine: Literal["torchscript", "torch"] = "torchscript"
    """What runs the parts of a step on a CPU. Plain torch is the reference, and slower."""

    @classmethod
    def plain(cls) -> "PlayConfig":
        """Play that is the model's own recursion and nothing else."""
        return cls(
            ignore_hud=False,
            ignore_static=False,
            online_background=False,
            skip_explained=False,
            fit_boxes=False,
            duplicate_iou=None,
            fragment_overlap=None,
            relink_distance=None,
            engine="torch",
        )

    def background(
        self, background: Background, ignore: Sequence[Region] | None
    ) -> tuple[Background, tuple[Region, ...]]:
        """What is background in play, and the regions in which nothing is seen.

        Args:
            background: of the game.
            ignore: regions to use in place of what this configuration ignores.
        """
        if ignore is not None:
            return background, tuple(ignore)
        regions = background.hud if self.ignore_hud else ()
        return (background.with_static() if self.ignore_static else background), regions

    @classmethod
    def of(cls, values: Any) -> "PlayConfig":
        """A configuration as it is, or from a mapping of some fields; others have their defaults.

        Raises:
            ValueError: a field is unknown, or its value is not of its type.
        """
        if isinstance(values, cls):
            return values
        try:
            # By way of JSON, where a mapping is what is expected, however strict.
            found: PlayConfig = TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
        except TypeError as error:
            raise ValueError(f"play: expected plain values, {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"])) or "play"
            raise ValueError(f"{name}: {first['msg']}, got {first['input']!r}") from None
        return found
