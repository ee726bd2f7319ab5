import itertools

import numpy as np
import pytest

from silot_gym.linking import closest_pairs


@pytest.mark.parametrize("most", [np.inf, 0.5])
def test_pairs_are_those_of_all_assignments_that_cost_least(most):
    distances = np.random.default_rng(0).random((4, 5))
    distances[2, 3] = np.inf
    rows, columns = closest_pairs(distances, most)

    def cost(order):  # unpaired ones cost more than all that could be saved
        chosen = distances[range(4), order]
        return np.where(chosen <= most, chosen, 100).clip(max=100).sum()

    best = min(itertools.permutations(range(5), 4), key=cost)
    allowed = [i for i in range(4) if distances[i, best[i]] <= most]
    assert rows.tolist() == allowed
    assert columns.tolist() == [best[i] for i in allowed]
