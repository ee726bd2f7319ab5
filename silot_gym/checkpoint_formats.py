"""Checkpoints of older formats, made new when they are read."""

from typing import Any

from torch import Tensor

FORMAT_VERSION = 8
OLDEST_VERSION = 6

_RENAMED = {"stills": "static_pictures"}
"""Pictures of the background that had another name."""


def upgraded(
    config: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """The configuration, weights and calibration of a checkpoint of format 6 or 7.

    Those had background and types beside the weights, and of play the presence threshold only.
    Format 6 knows no types, and in part no tolerance.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or of another type.
    """
    calibration, weights = {}, {}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        if group == "background":
            picture, _, part = rest.partition(".")
            calibration[f"background.{_RENAMED.get(picture, picture)}.{part}"] = value
        elif group == "types":
            calibration[name] = value
        else:
            weights[name] = value
    frames, types = dict(config["frames"]), config.get("types")
    settings = {
        **{name: frames[name] for name in ("game", "height", "width", "frame_skip", "pooled")},
        "flickers": frames["flickers"],
        "brightness_floor": 0.3,
        "max_foreground": frames["most_drawn"],
        "tolerance": frames.get("tolerance", 0),
        "hud": frames["displays"],
        "object_size": None,
        "num_slots": config["num_slots"],
        "types": types and {"max_count": types["most"], "names": types["names"]},
    }
    new = {
        "format_version": FORMAT_VERSION,
        "weights_sha256": config["weights_sha256"],
        "calibration_sha256": "",
        "model": config["model"],
        "calibration": settings,
        "play": {"presence_threshold": config["presence_threshold"]},
        "origin": config["origin"],
    }
    return new, weights, calibration
