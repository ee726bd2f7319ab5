"""What bundled checkpoints made of real frames when they were last looked at.

`python -m tests.play.test_golden` writes the slots anew, after a change that is meant to change
them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.memory_truth import load_memory_truth, score_memory
from silot_gym.evaluation.trackers import slot_tracks
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import SlotTracker

TRUTH = Path(__file__).parents[2] / "benchmarks" / "data"
GOLDEN = Path(__file__).with_name("golden")
GAMES = ("Pong", "SpaceInvaders")
LANES, STEPS = 2, 16
NAMES = ("track_id", "category", "presence", "boxes", "what")


def slots_of(game: str, engine: str) -> dict[str, NDArray[np.generic]]:
    """Slots of 32 frames, those with an object only."""
    checkpoint = Checkpoint.load(game)
    play = PlayConfig.of({**vars(checkpoint.play), "engine": engine})
    frames = load_memory_truth(TRUTH / f"{game}.npz").rgb()[:LANES, :STEPS]
    tracker = SlotTracker(replace(checkpoint, play=play), lanes=LANES)
    steps = [tracker.step(frame) for frame in frames.swapaxes(0, 1)]
    found = {name: np.stack([getattr(slots, name) for slots in steps]) for name in NAMES}
    present = found["track_id"] >= 0
    chosen = {name: values[present] for name, values in found.items() if name != "track_id"}
    chosen["what"] = chosen["what"].astype(np.float16)
    return {"track_id": found["track_id"].astype(np.int16), **chosen}


@pytest.mark.parametrize("engine", ["torch", "torchscript"])
@pytest.mark.parametrize("game", GAMES)
def test_slots_are_as_they_were(game: str, engine: str) -> None:
    found = slots_of(game, engine)
    with np.load(GOLDEN / f"{game}.npz") as golden:
        np.testing.assert_array_equal(found["track_id"], golden["track_id"])
        np.testing.assert_array_equal(found["category"], golden["category"])
        for name, within in (("boxes", 0.1), ("presence", 0.01), ("what", 0.02)):
            np.testing.assert_allclose(found[name], golden[name], atol=within, rtol=0)


@pytest.mark.parametrize(
    ("game", "f1", "idf1"), [("Pong", 0.97, 0.75), ("SpaceInvaders", 0.97, 0.95)]
)
def test_bundled_checkpoints_track_what_moves(game: str, f1: float, idf1: float) -> None:
    truth = load_memory_truth(TRUTH / f"{game}.npz")
    figures = score_memory(truth.what_moves, slot_tracks(Checkpoint.load(game), list(truth.rgb())))
    assert figures["F1"] > 0.97 and figures["IDF1"] > idf1


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in GAMES:
        np.savez_compressed(GOLDEN / f"{name}.npz", **slots_of(name, "torch"))
