"""The prior that asks for few objects, in closed form (section 3.8; SPAIR's prior).

The number c of objects present among N has a truncated geometric distribution, P(c) ~ s^c, and
given c all subsets are equally likely. Taken one by one, with k present among the first i, the
next is present with a probability p(i, k) that depends on nothing else, so that the prior is a
table.
"""

from functools import lru_cache

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor


class CountPrior:
    """The prior at the moment's log-odds.

    On a GPU its tables stay where they are, so that work that is recorded once reads what was set
    last.
    """

    def __init__(self) -> None:
        """All numbers of objects are equally likely."""
        self._log_odds = 0.0
        self._on_gpu: dict[int, Tensor] = {}

    def set(self, log_odds: float) -> None:
        """Set the log-odds of s."""
        if log_odds == self._log_odds:
            return
        self._log_odds = log_odds
        for count, table in self._on_gpu.items():
            table.copy_(presence_table(count, log_odds), non_blocking=True)

    def table(self, count: int, device: torch.device) -> Tensor:
        """See `presence_table`."""
        if device.type == "cpu":
            return presence_table(count, self._log_odds)
        if count not in self._on_gpu:
            self._on_gpu[count] = presence_table(count, self._log_odds).to(device)
        return self._on_gpu[count]


@lru_cache(maxsize=8)
def presence_table(count: int, log_odds: float) -> Tensor:
    """Log-odds that the next object is present, given those before it.

    Args:
        count: N, number of objects.
        log_odds: log-odds of s; -4.38 (s = .0124) in the paper when training ends.

    Returns:
        (N, N + 1) float32: row i, column k is for k present among the first i. Columns beyond i are
        never asked for.
    """
    chosen = np.arange(count + 1)
    log_binomial = gammaln(count + 1) - gammaln(chosen + 1) - gammaln(count - chosen + 1)
    # weight[k] = log of the sum over all ways to go on of s^c / C(N, c), when k are present among
    # the first i; going back one object, either it is present or it is not.
    weight = -chosen * np.log1p(np.exp(-log_odds)) - log_binomial
    table = np.zeros((count, count + 1))
    for i in reversed(range(count)):
        absent, present = weight, np.append(weight[1:], -np.inf)
        table[i] = present - absent
        weight = np.logaddexp(absent, present)
    return torch.from_numpy(table).float()


def presence_prior(present: Tensor, table: Tensor, place: Tensor) -> Tensor:
    """Log-odds that the prior gives each object's presence, knowing those before it.

    Args:
        present: (B, N) bool, whether the object was drawn as present.
        table: see `presence_table`.
        place: (B, N) int64, each object's place among all that there could be.

    Returns:
        (B, N)
    """
    before = present.long().cumsum(1) - present.long()
    return table[place, before]
