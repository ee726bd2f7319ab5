import math
from math import comb

import pytest
import torch

from silot_gym.training.count_prior import presence_prior, presence_table


def sequential_probabilities(present: list[bool], s: float) -> list[float]:
    """Probability of each presence given those before it, by Bayes on the count, one by one."""
    n = len(present)
    posterior = [s**c for c in range(n + 1)]
    probabilities, k = [], 0
    for i, on in enumerate(present):
        total = sum(posterior)
        posterior = [p / total for p in posterior]
        share = [min(max((c - k) / (n - i), 0.0), 1.0) for c in range(n + 1)]
        probabilities.append(sum(p * x for p, x in zip(posterior, share, strict=True)))
        posterior = [p * (x if on else 1 - x) for p, x in zip(posterior, share, strict=True)]
        k += on
    return probabilities


@pytest.mark.parametrize("log_odds", [-4.38, 0.0, 3.0])
def test_the_table_equals_the_sequential_computation(log_odds: float) -> None:
    torch.manual_seed(0)
    s = 1 / (1 + torch.tensor(-log_odds, dtype=torch.float64).exp().item())
    table = presence_table(17, log_odds)
    for chance in (0.1, 0.5, 0.9):
        present = (torch.rand(17) < chance).tolist()
        expected, k = sequential_probabilities(present, s), 0
        for i, on in enumerate(present):
            assert table[i, k].sigmoid().item() == pytest.approx(expected[i], rel=1e-5)
            k += on


def test_the_table_is_the_prior_on_subsets() -> None:
    table, s = presence_table(4, 0.0), 0.5
    weights = [s**c for c in range(5)]
    present, k, probability = [True, False, True, True], 0, 1.0
    for i, on in enumerate(present):
        p = table[i, k].sigmoid().item()
        probability *= p if on else 1 - p
        k += on
    assert probability == pytest.approx(weights[3] / sum(weights) / comb(4, 3), rel=1e-5)


def test_many_objects_do_not_underflow() -> None:
    table = presence_table(300, -20.0)
    asked_for = torch.ones(300, 301).tril() > 0
    assert table[asked_for].isfinite().all()


@pytest.mark.parametrize("log_odds", [-4.38, -20.0])
def test_the_first_object_of_few_costs_what_the_prior_says(log_odds: float) -> None:
    # One of N objects: s / N against 1, where s is so small that two are out of the question.
    assert presence_table(50, log_odds)[0, 0].item() == pytest.approx(
        log_odds - math.log(50), abs=0.03
    )


def test_log_odds_are_those_of_the_sequential_computation() -> None:
    torch.manual_seed(0)
    present = torch.rand(3, 10) < 0.4
    log_odds = presence_prior(present, presence_table(10, -2.0), torch.arange(10).expand(3, -1))
    s = torch.tensor(-2.0).sigmoid().item()
    for b in range(3):
        expected = torch.tensor(sequential_probabilities(present[b].tolist(), s)).logit()
        torch.testing.assert_close(log_odds[b], expected.float(), atol=1e-4, rtol=1e-4)
