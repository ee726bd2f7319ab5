import torch

from silot_gym.model.latents import (
    bounded_std,
    draw_normal,
    draw_presence,
    logistic_log_density,
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


def test_logistic_log_density_integrates_to_one_and_is_centred_on_the_logit() -> None:
    x = torch.linspace(-60, 60, 200_001, dtype=torch.float64)
    density = logistic_log_density(x, torch.tensor(1.5, dtype=torch.float64)).exp()
    assert abs(torch.trapezoid(density, x).item() - 1) < 1e-9
    assert abs(torch.trapezoid(density * x, x).item() - 1.5) < 1e-6


def test_presence_is_drawn_with_the_probability_of_its_log_odds() -> None:
    torch.manual_seed(0)
    logit = torch.tensor([-2.0, 0.0, 1.0])
    draws = draw_presence(logit.expand(200_000, 3), noisy=True)
    torch.testing.assert_close((draws > 0).float().mean(0), logit.sigmoid(), atol=0.005, rtol=0)
    assert torch.equal(draw_presence(logit, noisy=False), logit)


def test_std_logit_inverts_bounded_std() -> None:
    for std in (0.05, 1.0, 1.9):
        assert abs(bounded_std(torch.tensor(std_logit(std))).item() - std) < 1e-6
    extremes = bounded_std(torch.tensor([-1e6, 1e6]))
    assert (extremes > 0).all()
    assert (extremes < 2.001).all()
