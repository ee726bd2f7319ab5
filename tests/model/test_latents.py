import torch
from torch import Tensor

from silot_gym.model.latents import (
    bounded_std,
    draw_normal,
    draw_presence,
    logistic_kl,
    normal_kl,
    std_logit,
)


def test_kl_of_normals_matches_monte_carlo() -> None:
    torch.manual_seed(0)
    mean, std = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([0.5, 1.5, 0.1])
    prior_mean, prior_std = torch.tensor([0.0, -2.2, 1.9]), torch.tensor([1.0, 0.5, 0.3])
    draws = draw_normal(mean.expand(400_000, 3), std, noisy=True)
    q, p = torch.distributions.Normal(mean, std), torch.distributions.Normal(prior_mean, prior_std)
    estimate = (q.log_prob(draws) - p.log_prob(draws)).mean(0)
    torch.testing.assert_close(
        normal_kl(mean, std, prior_mean, prior_std), estimate, rtol=0.02, atol=0.01
    )


def test_kl_of_a_normal_from_itself_is_zero() -> None:
    mean, std = torch.randn(5), torch.rand(5) + 0.1
    torch.testing.assert_close(normal_kl(mean, std, mean, std), torch.zeros(5))


def log_density(x: Tensor, logit: Tensor) -> Tensor:
    """Of a logistic variable of scale 1: what `draw_presence` draws from."""
    return -(x - logit) - 2 * torch.nn.functional.softplus(-(x - logit))


def test_kl_of_logistic_variables_matches_monte_carlo() -> None:
    torch.manual_seed(0)
    logit = torch.tensor([0.0, 3.0, -6.0, 1.0])
    prior = torch.tensor([0.5, -5.0, -5.5, 9.0])
    x = draw_presence(logit.double().expand(400_000, 4), 1.0, noisy=True).logit().float()
    estimate = (log_density(x, logit) - log_density(x, prior)).mean(0)
    torch.testing.assert_close(logistic_kl(logit, prior), estimate, atol=0.01, rtol=0.01)


def test_kl_of_equal_logistic_variables_is_zero_and_it_never_stops_pulling() -> None:
    same = torch.tensor([-3.0, 0.0, 7.0])
    torch.testing.assert_close(logistic_kl(same, same), torch.zeros(3), atol=1e-6, rtol=0)
    sure = torch.tensor([9.0], requires_grad=True)
    logistic_kl(sure, torch.tensor([-5.0])).sum().backward()
    assert sure.grad is not None
    assert sure.grad.item() > 0.99


def test_presence_is_drawn_with_the_probability_of_its_log_odds() -> None:
    torch.manual_seed(0)
    logit = torch.tensor([-2.0, 0.0, 1.0])
    draws = draw_presence(logit.expand(200_000, 3), 0.3, noisy=True)
    torch.testing.assert_close((draws > 0.5).float().mean(0), logit.sigmoid(), atol=0.005, rtol=0)
    median = draw_presence(logit, 0.3, noisy=False)
    torch.testing.assert_close(median, draws.median(0).values, atol=0.01, rtol=0)


def test_std_logit_inverts_bounded_std() -> None:
    for std in (0.05, 1.0, 1.9):
        assert abs(bounded_std(torch.tensor(std_logit(std))).item() - std) < 1e-6
    extremes = bounded_std(torch.tensor([-1e6, 1e6]))
    assert (extremes > 0).all()
    assert (extremes < 2.001).all()
