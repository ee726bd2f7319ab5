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


def presence_prior(present: Tensor, table: Tensor) -> Tensor:
    """Log-odds that the prior gives each object's presence, knowing those before it.

    Args:
        present: (B, N) bool, whether the object was drawn as present.
        table: (N, ...) rows of `presence_table`, those of these objects.

    Returns:
        (B, N)
    """
    before = present.long().cumsum(1) - present.long()
    order = torch.arange(table.shape[0], device=table.device).expand_as(before)
    return table[order, before]
