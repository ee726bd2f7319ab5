"""Figures of an evaluation, where the returns are known."""

import pytest

from silot_gym.agents import evaluation
from silot_gym.agents.evaluation import FINAL_SEED, describe, evaluate
from silot_gym.agents.run import AgentRun, build
from tests.agents import toy
from tests.agents.toy import small_config


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose returns are 10 in the first lane, 20 in the second, and what envs are made."""
    seen = []

    def make_envs(config, count, seed, **kwargs):
        seen.append((count, seed, kwargs))
        return toy.make_envs(config, count, seed)

    monkeypatch.setattr(evaluation, "make_envs", make_envs)
    run = AgentRun(tmp_path)
    config = small_config(steps=500)
    run.config_file.write_text(config.to_json())
    build(config, toy.make_envs(config, 2, 0), "cpu").save(run.agent_file)
    return run, seen


def test_mean_spread_and_interval(run):
    run, seen = run
    found = evaluate(run, 4)
    assert sorted(found["returns"]) == [10, 20, 30, 40]
    assert found["mean_return"] == 25
    assert found["std_return"] == pytest.approx(12.90994)
    # Student's t for three degrees of freedom is 3.182446.
    assert found["interval"] == pytest.approx([25 - 20.5426, 25 + 20.5426], abs=1e-3)
    assert found["trained_steps"] == 500 and found["game"] == "Pong"
    assert seen[0][:2] == (4, FINAL_SEED)
    assert describe(found) == (
        "Pong on slots: return 25.0 (95 % interval 4.5 to 45.5, standard deviation 12.9) in 4 "
        "games, after 500 steps of training"
    )


def test_many_games_are_played_in_eight_lanes(run):
    run, seen = run
    found = evaluate(run, 16, seed=5, checkpoint="Breakout")
    assert sorted(found["returns"]) == sorted([10 * n for n in range(1, 9)] * 2)
    assert seen[0][:2] == (8, 5) and seen[0][2]["checkpoint"] == "Breakout"


def test_one_game_has_no_spread(run):
    with pytest.raises(ValueError, match="expected at least 2 episodes"):
        evaluate(run[0], 1)


def test_equal_returns_have_a_narrow_interval(run, monkeypatch):
    monkeypatch.setattr(evaluation, "LANES", 1)
    found = evaluate(run[0], 3)
    assert found["returns"] == [10, 10, 10] and found["std_return"] == 0
    assert found["interval"] == pytest.approx([10, 10], abs=1e-6)
