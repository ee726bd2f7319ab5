"""How good a trained agent is."""

from typing import Any

import numpy as np
from scipy import stats
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import set_random_seed
from tqdm import tqdm

from silot_gym.agents.envs import Change, make_envs
from silot_gym.agents.run import AgentRun
from silot_gym.agents.training import EVALUATION_SEED
from silot_gym.programs import command_line

FINAL_SEED = 10 * EVALUATION_SEED
"""Added to the run's seed: games that neither training nor its evaluations have seen."""
LANES = 8
"""Games that are played side by side."""


def evaluate(
    run: AgentRun,
    episodes: int,
    device: str = "cpu",
    *,
    seed: int = FINAL_SEED,
    checkpoint: str | None = None,
    look: Change | None = None,
    dynamics: Change | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Plays whole episodes on fresh seeds and sums up their returns.

    Args:
        run: The agent's folder.
        episodes: At least 2.
        device: Where the networks run, as torch names it.
        seed: Added to the run's seed.
        checkpoint: Folder or name of another checkpoint than the agent was trained with.
        look: Changes how the game looks, see `make_envs`.
        dynamics: Changes how things move, likewise.
        progress: Whether to show a progress bar.

    Returns:
        `mean_return`, `std_return` (over episodes), `interval` (95 % of the mean, by Student's t),
        the `returns` of the episodes, and what was evaluated.

    Raises:
        ValueError: The folder holds no trained agent, or there are too few episodes.
    """
    if episodes < 2:
        raise ValueError(f"expected at least 2 episodes, from one there is no spread: {episodes}")
    config = run.config()
    seed += config.seed
    envs = make_envs(
        config,
        min(LANES, episodes),
        seed,
        device=device,
        checkpoint=checkpoint,
        look=look,
        dynamics=dynamics,
    )
    bar = tqdm(total=episodes, desc="evaluation", unit="game", disable=not progress)

    def advance(now: dict[str, Any], _: dict[str, Any]) -> None:
        bar.update(int("episode" in now["info"]))

    try:
        agent = run.load(envs, device)
        set_random_seed(seed)
        played, _ = evaluate_policy(
            agent,
            envs,
            episodes,
            deterministic=config.settings.deterministic,
            return_episode_rewards=True,
            callback=advance,
        )
    finally:
        bar.close()
        envs.close()
    returns = np.asarray(played, np.float64)
    mean = float(returns.mean())
    interval = stats.t.interval(0.95, len(returns) - 1, mean, max(stats.sem(returns), 1e-9))
    return {
        "command": command_line(),
        "game": config.game,
        "obs": config.obs,
        "trained_steps": config.steps,
        "episodes": episodes,
        "mean_return": mean,
        "std_return": float(returns.std(ddof=1)),
        "interval": [float(edge) for edge in interval],
        "returns": returns.tolist(),
    }


def describe(evaluation: dict[str, Any]) -> str:
    """An evaluation in one line."""
    low, high = evaluation["interval"]
    return (
        f"{evaluation['game']} on {evaluation['obs']}: return {evaluation['mean_return']:.1f} "
        f"(95 % interval {low:.1f} to {high:.1f}, standard deviation "
        f"{evaluation['std_return']:.1f}) in {evaluation['episodes']} games, after "
        f"{evaluation['trained_steps']} steps of training"
    )
