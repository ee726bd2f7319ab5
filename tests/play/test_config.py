from dataclasses import asdict
from typing import Any

import pytest

from silot_gym.play.config import PlayConfig


def test_a_mapping_changes_some_fields() -> None:
    assert PlayConfig.of({}) == PlayConfig.of(PlayConfig()) == PlayConfig()
    assert PlayConfig.of({"relink_distance": None}) == PlayConfig(relink_distance=None)
    assert PlayConfig.of(asdict(PlayConfig.plain())) == PlayConfig.plain()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"relink": 3.0}, r"relink: .*got 3"),
        ({"fit_boxes": "yes"}, r"fit_boxes: .*boolean, got 'yes'"),
        ({"presence_threshold": 0}, r"presence_threshold: .*greater than 0, got 0"),
        ({"presence_threshold": 1.5}, r"presence_threshold: .*less than or equal to 1, got 1.5"),
        ({"presence_threshold": float("nan")}, r"presence_threshold: "),
        ({"relink_distance": -1.0}, r"relink_distance.*: .*greater than or equal to 0, got -1"),
        ({"engine": "rocket"}, r"engine: .*'torchscript' or 'torch', got 'rocket'"),
        ({"engine": print}, r"play: expected plain values"),
        ([], r"play: .*got \[\]"),
    ],
)
def test_what_can_not_be_played_is_refused_in_one_line(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        PlayConfig.of(values)
    assert "\n" not in str(refused.value)
