"""Trains an agent (SB3's PPO) on the slots of an Atari game or, for comparison, on its pixels.

Example: python agents/train.py --game SpaceInvaders --obs slots --out runs/agent
"""

from silot_gym.programs import require

require("agents", "ale_py", "cv2", "stable_baselines3", "tensorboard", "tqdm", "tyro")

# isort: split
import dataclasses
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from slot_extractor import SlotExtractor
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import ClipRewardEnv, EpisodicLifeEnv, FireResetEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack
from tqdm import tqdm

from silot_gym import SILOTObjectWrapper, make_atari
from silot_gym.atari import resolve_game
from silot_gym.checkpoint import write_atomically
from silot_gym.programs import run
from silot_gym.sb3 import SILOTVecWrapper

AGENT, ARGS, EVALUATION = "agent.zip", "args.json", "evaluation.json"
_ROLLOUT_STEPS = 128
_EVALUATION_SEED = 10_000
"""What is added to the seed for evaluation, so that its episodes are not those of training."""


@dataclass(frozen=True)
class Args:
    """Trains an agent on the slots or on the pixels of an Atari game."""

    game: str
    """Name of the game, in any usual spelling."""
    out: Path
    """Folder for the agent, its evaluation and the TensorBoard log."""
    obs: Literal["slots", "pixels"] = "slots"
    """What the agent sees."""
    checkpoint: str | None = None
    """Folder or bundled name of the checkpoint for slots; by default the one of the game."""
    steps: int = 100_000
    """Steps of the environments, all together; rounded up to whole rollouts of 128 each."""
    envs: int = 8
    """Environments side by side."""
    seed: int = 0
    """Seed of environments, network and actions."""
    device: str = "cpu"
    """Where the networks run, as torch names it."""
    threads: int | None = None
    """Threads of torch; by default one a core, or OMP_NUM_THREADS."""
    eval_episodes: int = 10
    """Episodes of the evaluation at the end."""
    progress: bool = True
    """Whether to show progress bars."""

    def checked(self) -> "Args":
        """The arguments with the game as ale-py spells it.

        Raises:
            ValueError: one of them makes no sense.
        """
        for name in ("steps", "envs", "threads", "eval_episodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = name.replace("_", "-")
                raise ValueError(f"expected --{option} of at least 1, got {value}")
        if self.obs == "pixels" and self.checkpoint is not None:
            raise ValueError("expected no --checkpoint with --obs pixels")
        return dataclasses.replace(self, game=resolve_game(self.game))


class ProgressBar(BaseCallback):
    """Shows how many steps are done; SB3's own needs one more package."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.bar = tqdm(total=steps, unit="step")

    def _on_step(self) -> bool:
        self.bar.update(self.training_env.num_envs)
        return True

    def _on_training_end(self) -> None:
        self.bar.close()


def make_envs(
    args: Args, count: int, seed: int, *, training: bool, render_mode: str | None = None
) -> VecEnv:
    """Environments that differ between slots and pixels in what is observed and in nothing else.

    In training, rewards are clipped to their sign and an episode ends with a lost life.
    """
    if args.obs == "pixels":
        envs = make_atari_env(
            f"ALE/{args.game}-v5",
            count,
            seed,
            # Sticky actions make episodes differ, as they do for slots.
            wrapper_kwargs={
                "noop_max": 0,
                "terminal_on_life_loss": training,
                "clip_reward": training,
            },
            env_kwargs={"frameskip": 1, "render_mode": render_mode},
        )
        return VecFrameStack(envs, 4)

    def frames() -> gym.Env[Any, Any]:
        return make_atari(args.game, render_mode=render_mode)

    def slots() -> gym.Env[Any, Any]:
        """Frames are drawn on, which takes a wrapper of each environment's own."""
        return SILOTObjectWrapper(
            frames(), args.checkpoint, device=args.device, render_overlay=True
        )

    def play(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        """What SB3's `AtariWrapper` does for pixels besides shrinking them."""
        env = EpisodicLifeEnv(env) if training else env
        if "FIRE" in env.get_wrapper_attr("get_action_meanings")():
            env = FireResetEnv(env)
        return ClipRewardEnv(env) if training else env

    if render_mode is not None:
        return make_vec_env(slots, count, seed, wrapper_class=play)
    envs = make_vec_env(frames, count, seed, wrapper_class=play)
    return SILOTVecWrapper(envs, args.checkpoint, device=args.device)


def evaluate(model: PPO, args: Args, episodes: int) -> dict[str, Any]:
    """Plays whole episodes with actions drawn from the policy, and sums up their returns."""
    set_random_seed(args.seed + _EVALUATION_SEED)
    count = min(args.envs, episodes)
    envs = make_envs(args, count, args.seed + _EVALUATION_SEED, training=False)

    def advance(now: dict[str, Any], _: dict[str, Any]) -> None:
        bar.update(int(now["done"]))

    with tqdm(total=episodes, desc="evaluation", unit="episode", disable=not args.progress) as bar:
        returns, lengths = evaluate_policy(
            model,
            envs,
            episodes,
            deterministic=False,
            return_episode_rewards=True,
            callback=advance,
        )
    envs.close()
    return {
        "command": shlex.join(["python", *sys.argv]),
        "game": args.game,
        "obs": args.obs,
        "trained_steps": model.num_timesteps,
        "episodes": episodes,
        "mean_return": float(np.mean(returns)),
        "std_return": float(np.std(returns)),
        "returns": returns,
        "lengths": lengths,
    }


def report(evaluation: dict[str, Any], folder: Path) -> None:
    """Writes an evaluation to a folder and prints it."""
    write_json(folder / EVALUATION, evaluation)
    print(
        f"{evaluation['game']} on {evaluation['obs']}: return {evaluation['mean_return']:.1f} "
        f"± {evaluation['std_return']:.1f} (standard deviation) in {evaluation['episodes']} "
        f"episodes, after {evaluation['trained_steps']} steps of training"
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a file of JSON."""
    write_atomically(path, (json.dumps(content, indent=2, default=str) + "\n").encode())


def main(args: Args) -> None:
    """Trains, saves and evaluates an agent."""
    args = args.checked()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    envs = make_envs(args, args.envs, args.seed, training=True)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / ARGS, dataclasses.asdict(args))

    slots = args.obs == "slots"
    model = PPO(
        "MlpPolicy" if slots else "CnnPolicy",
        envs,
        policy_kwargs={"features_extractor_class": SlotExtractor} if slots else None,
        # The values of SB3's zoo for Atari, without its schedules.
        learning_rate=2.5e-4,
        n_steps=_ROLLOUT_STEPS,
        batch_size=min(256, _ROLLOUT_STEPS * args.envs),
        n_epochs=4,
        clip_range=0.1,
        ent_coef=0.01,
        tensorboard_log=str(args.out),
        seed=args.seed,
        device=args.device,
    )
    callback = ProgressBar(args.steps) if args.progress else None
    model.learn(args.steps, callback, tb_log_name="tensorboard")
    model.save(args.out / AGENT)
    envs.close()
    report(evaluate(model, args, args.eval_episodes), args.out)


if __name__ == "__main__":
    run(main, Args)
