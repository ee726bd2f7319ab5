"""Checkpoints of older formats, made new when they are read."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

FORMAT_VERSION = 8


class Parts(NamedTuple):
    """What a checkpoint's files hold: `config.json`, the weights, and the calibration's tensors."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    calibration: dict[str, Tensor]


def upgraded(parts: Parts) -> Parts:
    """A checkpoint of any readable format as one of today's.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or of another type.
    """
    while parts.config["format_version"] < FORMAT_VERSION:
        parts = _NEXT[parts.config["format_version"]](parts)
    return parts


def _from_6(parts: Parts) -> Parts:
    """Format 6 knows no types, and in part no tolerance."""
    frames = {"tolerance": 0, **parts.config["frames"]}
    config = {"types": None, **parts.config, "format_version": 7, "frames": frames}
    return parts._replace(config=config)


def _from_7(parts: Parts) -> Parts:
    """Format 7 has background and types beside the weights, and of play one threshold only."""
    renamed = {"stills": "static_pictures"}
    calibration, weights = dict(parts.calibration), {}
    for name, value in parts.weights.items():
        group, _, rest = name.partition(".")
        if group == "background":
            picture, _, part = rest.partition(".")
            calibration[f"background.{renamed.get(picture, picture)}.{part}"] = value
        elif group == "types":
            calibration[name] = value
        else:
            weights[name] = value
    config, frames, types = parts.config, parts.config["frames"], parts.config["types"]
    kept = ("game", "height", "width", "frame_skip", "pooled", "flickers", "tolerance")
    settings = {
        **{name: frames[name] for name in kept},
        "brightness_floor": 0.3,
        "max_foreground": frames["most_drawn"],
        "hud": frames["displays"],
        "object_size": None,
        "num_slots": config["num_slots"],
        "types": types and {"max_count": types["most"], "names": types["names"]},
    }
    new = {
        "format_version": 8,
        "weights_sha256": config["weights_sha256"],
        "calibration_sha256": "",
        "model": config["model"],
        "calibration": settings,
        "play": {"presence_threshold": config["presence_threshold"]},
        "origin": config["origin"],
    }
    return Parts(new, weights, calibration)


_NEXT: dict[int, Callable[[Parts], Parts]] = {6: _from_6, 7: _from_7}
"""The step from each older format to the one after it."""
OLDEST_VERSION = min(_NEXT)
