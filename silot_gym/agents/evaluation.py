"""How good a trained agent is."""

import json
import shlex
import sys
from typing import Any

import numpy as np
from scipy import stats
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import set_random_seed

from silot_gym.agents.envs import make_envs
from silot_gym.agents.run import AgentRun
from silot_gym.agents.training import EVALUATION_SEED
from silot_gym.checkpoint import write_atomically

_FINAL_SEED = 10 * EVALUATION_SEED
"""Added to the run's seed: episodes that neither training nor its evaluations have seen."""


def evaluate(run: AgentRun, episodes: int, device: str = "cpu") -> dict[str, Any]:
    """Plays whole episodes on fresh seeds and sums up their returns.

    Args:
        run: The agent's folder.
        episodes: At least 2.
        device: Where the networks run, as torch names it.

    Returns:
        `mean_return`, `std_return` (over episodes), `interval` (95 % of the mean, by Student's t),
        the `returns` and `lengths` of the episodes, and what was evaluated.

    Raises:
        ValueError: The folder holds no trained agent, or there are too few episodes.
    """
    if episodes < 2:
        raise ValueError(f"expected at least 2 episodes, from one there is no spread: {episodes}")
    config = run.config()
    seed = config.seed + _FINAL_SEED
    envs = make_envs(config, min(8, episodes), seed, training=False, device=device)
    try:
        agent = run.load(envs, device)
        set_random_seed(seed)
        returns, lengths = evaluate_policy(
            agent,
            envs,
            episodes,
            deterministic=config.settings.deterministic,
            return_episode_rewards=True,
        )
    finally:
        envs.close()
    mean = float(np.mean(returns))
    interval = stats.t.interval(0.95, len(returns) - 1, mean, max(stats.sem(returns), 1e-9))
    return {
        "command": shlex.join(["python", *sys.argv]),
        "game": config.game,
        "obs": config.obs,
        "trained_steps": config.steps,
        "episodes": episodes,
        "mean_return": mean,
        "std_return": float(np.std(returns, ddof=1)),
        "interval": [float(edge) for edge in interval],
        "returns": [float(value) for value in returns],  # type: ignore[union-attr]
        "lengths": [int(value) for value in lengths],  # type: ignore[union-attr]
    }


def report(evaluation: dict[str, Any], run: AgentRun) -> None:
    """Writes an evaluation to its run's folder and prints it."""
    write_atomically(run.evaluation_file, (json.dumps(evaluation, indent=2) + "\n").encode())
    low, high = evaluation["interval"]
    print(
        f"{evaluation['game']} on {evaluation['obs']}: return {evaluation['mean_return']:.1f} "
        f"(95 % interval {low:.1f} to {high:.1f}, standard deviation "
        f"{evaluation['std_return']:.1f}) in {evaluation['episodes']} episodes, after "
        f"{evaluation['trained_steps']} steps of training"
    )
