"""The agents that come with the repository."""

import json
from pathlib import Path

import pytest

from silot_gym.agents.evaluation import evaluate
from silot_gym.agents.run import AgentRun

TRAINED = Path(__file__).parents[2] / "agents" / "trained"
GAMES = sorted(folder.name for folder in TRAINED.iterdir())


@pytest.mark.parametrize("game", GAMES)
def test_a_trained_agent_is_small_and_has_its_figures_and_curve(game: str) -> None:
    folder = TRAINED / game
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1e6
    figures = json.loads((folder / "evaluation.json").read_text())
    assert (figures["game"], figures["obs"], figures["episodes"]) == (game, "slots", 20)
    assert (folder / "curve.png").is_file()
    config = AgentRun(folder).config()
    assert (config.game, config.checkpoint) == (game, game)  # bundled: it plays on any machine


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_a_trained_agent_plays_as_it_did(game: str) -> None:
    """Two games, within four standard deviations of their mean."""
    figures = json.loads((TRAINED / game / "evaluation.json").read_text())
    played = evaluate(AgentRun(TRAINED / game), 2, progress=False)
    allowed = 4 * figures["std_return"] / 2**0.5
    assert abs(played["mean_return"] - figures["mean_return"]) < allowed
