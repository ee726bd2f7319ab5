"""Trains PPO of Ray's RLlib on the objects of an Atari game, on one machine or on many.

Example: python agents/train_rllib.py --game Pong --env-runners 2
"""

from silot_gym.programs import require

require("rllib", "ray", "ale_py", "cv2", "stable_baselines3", "tyro")

# isort: split
import math
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

from silot_gym.agents.config import changed
from silot_gym.agents.settings import PPOSettings
from silot_gym.programs import run
from silot_gym.rllib import ENV_NAME, GameReturns, make_env, register
from silot_gym.training.state import TrainingError


@dataclass(frozen=True)
class Args:
    """Trains PPO of Ray's RLlib on the objects of an Atari game, on one machine or on many."""

    game: str
    """Any game of ale-py, in any usual spelling."""
    out: Path
    """Folder for RLlib's checkpoint of the agent."""
    checkpoint: str | None = None
    """Folder or bundled name of SILOT's checkpoint; by default the one bundled for the game."""
    steps: int = 500_000
    """Steps of the environments, all together, of four frames each."""
    envs: int = 8
    """Environments, all together."""
    env_runners: int = 2
    """Processes that the environments are shared out to; each takes a core."""
    address: str = "local"
    """Of a Ray cluster that is running, or auto to look for one; local starts one here."""
    seed: int = 0
    """Of environments, network and actions."""
    set: tuple[str, ...] = ()
    """Settings of PPO that are not the default, as for agents/train.py; anneal means only the
    learning rate here, and normalize_rewards means nothing, as RLlib has neither."""


def ppo(args: Args) -> PPOConfig:
    """The settings of agents/train.py in RLlib's words."""
    settings = changed(PPOSettings(), args.set)
    end = 0.0 if settings.anneal else settings.learning_rate
    return (
        PPOConfig()
        .environment(ENV_NAME, env_config={"game": args.game, "checkpoint": args.checkpoint})
        .env_runners(
            num_env_runners=args.env_runners,
            num_envs_per_env_runner=args.envs // args.env_runners,
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=list(settings.net_arch),
                fcnet_activation="relu",
                vf_share_layers=False,
            )
        )
        .training(
            lr=[[0, settings.learning_rate], [args.steps, end]],
            gamma=settings.gamma,
            lambda_=settings.gae_lambda,
            train_batch_size_per_learner=settings.n_steps * args.envs,
            minibatch_size=settings.batch_size,
            num_epochs=settings.n_epochs,
            clip_param=settings.clip_range,
            entropy_coeff=settings.ent_coef,
            vf_loss_coeff=settings.vf_coef,
            grad_clip=settings.max_grad_norm,
            grad_clip_by="global_norm",
            # These two are RLlib's own, and off in Stable-Baselines3.
            use_kl_loss=False,
            vf_clip_param=math.inf,
        )
        .callbacks(GameReturns)
        .debugging(seed=args.seed, log_level="ERROR")
    )


def main(args: Args) -> None:
    """Trains and saves an agent."""
    for name in ("steps", "envs", "env_runners"):
        if (value := getattr(args, name)) < 1:
            raise ValueError(f"expected --{name.replace('_', '-')} of at least 1, got {value}")
    if args.envs % args.env_runners:
        raise ValueError(
            f"expected --envs that is a multiple of --env-runners, got {args.envs} and "
            f"{args.env_runners}"
        )
    config = ppo(args)
    make_env(config.env_config).close()  # what is wrong is told here, and not by a worker
    args.out.mkdir(parents=True, exist_ok=True)
    ray.init(args.address, log_to_driver=False, logging_level="ERROR")
    try:
        register()
        agent = config.build_algo()
        steps = 0
        while steps < args.steps:
            seen = agent.train()["env_runners"]
            before, steps = steps, int(seen["num_env_steps_sampled_lifetime"])
            if steps == before:
                raise TrainingError("expected steps of the env runners, got none: all have failed")
            mean = seen.get("game_return_mean", math.nan)
            print(f"{steps} steps: return {mean:.2f}", flush=True)
        agent.save_to_path(args.out.resolve())
        agent.stop()
    finally:
        ray.shutdown()
    print(f"saved {args.out}")


if __name__ == "__main__":
    run(main, Args)
