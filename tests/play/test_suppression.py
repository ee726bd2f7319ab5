import pytest
import torch
from torch import Tensor

from silot_gym.objects import Objects
from silot_gym.play.suppression import suppress_duplicates, suppress_fragments


def objects(presence: list[float], ids: list[int]) -> Objects:
    """Objects of one stream, of which nothing else counts."""
    empty = Objects.empty(1, len(ids), 1, 1, torch.device("cpu"))
    return Objects(
        **vars(empty) | {"presence": torch.tensor([presence]), "track_id": torch.tensor([ids])}
    )


def left(kept: Objects) -> list[float]:
    return pytest.approx(kept.presence[0].tolist())


ONE, OTHER, THIRD = [10, 10, 20, 20], [14, 10, 24, 20], [40, 10, 50, 20]  # .43 of one and other


def test_of_objects_around_the_same_things_only_the_most_present_goes_on() -> None:
    """Wherever their own boxes are; of equals the one in the first slot."""
    found = objects([0.7, 0.8, 0.9, 0.0, 0.6, 0.6], [5, 6, 7, -1, 8, 9])
    boxes = torch.tensor([[ONE, ONE, OTHER, ONE, THIRD, THIRD]]).float()
    kept = suppress_duplicates(found, boxes, 0.5)
    assert left(kept) == [0, 0.8, 0.9, 0, 0.6, 0]
    assert torch.equal(kept.position, found.position)
    assert left(suppress_duplicates(found, boxes, 0.4)) == [0, 0, 0.9, 0, 0.6, 0]


def test_what_is_discovered_on_a_part_of_a_tracked_object_is_a_fragment_of_it() -> None:
    body = [10.0, 10, 30, 40]
    arm, beside, touching = [28.0, 12, 36, 16], [50.0, 12, 58, 16], [29.0, 12, 37, 16]
    boxes = torch.tensor([[body, arm, beside, touching]])  # a quarter and an eighth lie on the body
    found = objects([0.9, 0.99, 0.99, 0.99], [3, -1, -1, -1])
    assert left(suppress_fragments(found, boxes, 0.2, 0.5)) == [0.9, 0, 0.99, 0.99]
    assert left(suppress_fragments(found, boxes, 0.3, 0.5)) == [0.9, 0.99, 0.99, 0.99]


@pytest.mark.parametrize(
    ("presence", "ids"),
    [([0.4, 0.9], [3, -1]), ([0.9, 0.9], [-1, -1]), ([0.9, 0.9], [3, 4])],
    ids=["tracked, not surely", "both discovered", "both tracked"],
)
def test_only_tracked_objects_have_fragments_and_these_are_discovered(
    presence: list[float], ids: list[int]
) -> None:
    boxes: Tensor = torch.tensor([[[10.0, 10, 30, 40], [12.0, 12, 18, 18]]])
    assert left(suppress_fragments(objects(presence, ids), boxes, 0.25, 0.5)) == presence
