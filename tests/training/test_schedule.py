import pytest

from silot_gym.model.latents import Frozen
from silot_gym.training.schedule import Schedule


def test_the_learning_rate_rises_holds_and_falls() -> None:
    schedule = Schedule(1000, learning_rate=1e-3)
    rates = [schedule.learning_rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-3 / 20)
    assert rates[300] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-5, rel=0.1)
    assert max(rates) == pytest.approx(1e-3)


def test_clips_grow_and_the_count_prior_turns_from_many_to_few() -> None:
    schedule = Schedule(1000, curriculum=((0.0, 2), (0.5, 4)), count_anneal=0.5)
    assert [schedule.clip_length_at(step) for step in (0, 499, 500, 999)] == [2, 2, 4, 4]
    assert schedule.count_log_odds_at(0) == 13.8
    assert schedule.count_log_odds_at(500) == schedule.count_log_odds_at(999) == -12
    odds = [schedule.count_log_odds_at(step) for step in range(0, 500, 10)]
    assert odds == sorted(odds, reverse=True)


def test_some_is_frozen_at_first() -> None:
    schedule = Schedule(1000, presence_frozen=0.1, stay_frozen=0.3, size_frozen=0.2)
    assert schedule.frozen_at(0) == schedule.frozen_at(99) == Frozen(True, True, True)
    assert schedule.frozen_at(100) == schedule.frozen_at(199) == Frozen(False, True, True)
    assert schedule.frozen_at(200) == schedule.frozen_at(299) == Frozen(False, True, False)
    assert schedule.frozen_at(300) == Frozen()


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_shortest_runs_have_a_schedule(steps: int) -> None:
    schedule = Schedule(steps)
    for step in range(steps):
        assert 0 < schedule.learning_rate_at(step) <= schedule.learning_rate
        assert schedule.clip_length_at(step) >= 2


def test_no_steps_and_no_rate_are_refused() -> None:
    with pytest.raises(ValueError, match="1 training step or more, got 0"):
        Schedule(0)
    with pytest.raises(ValueError, match=r"above 0, got -0\.1"):
        Schedule(5, learning_rate=-0.1)
