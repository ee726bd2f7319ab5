"""Trains an agent, and goes on with a training that was interrupted."""

import csv
import io
import shutil
import time
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    ProgressBarCallback,
)
from stable_baselines3.common.vec_env import VecNormalize

from silot_gym.agents.config import AgentConfig
from silot_gym.agents.envs import make_envs
from silot_gym.agents.run import AgentRun, build, load_weights
from silot_gym.files import LOCK, write_atomically

EVALUATION_SEED = 10_000
"""What is added to a run's seed for evaluation, so that its episodes are not those of training."""
EPISODE_COLUMNS = ("steps", "return", "length", "seconds", "cpu_seconds")


class EpisodeLog(BaseCallback):
    """Writes each episode of the training as a line of `episodes.csv`.

    `return` is the game's own, before rewards are clipped; `length` is in agent steps; `seconds`
    (wall-clock) and `cpu_seconds` (of this process) count from the start of the training,
    evaluation included.
    """

    def __init__(self, file: Path) -> None:
        """Begins the file, or goes on with it."""
        super().__init__()
        self._file, self._since, self._cpu_since = file, time.time(), time.process_time()

    def _on_training_start(self) -> None:
        rows: list[dict[str, str]] = []
        if self._file.exists():
            with self._file.open() as file:
                # What came after the last save is trained again. A killed process may have left
                # half a line.
                whole = [row for row in csv.DictReader(file) if None not in row.values()]
                rows = [row for row in whole if int(row["steps"]) <= self.num_timesteps]
        if rows:
            self._since -= float(rows[-1]["seconds"])
            self._cpu_since -= float(rows[-1]["cpu_seconds"])
        self._out = self._file.open("w", newline="", buffering=1)
        self._writer = csv.DictWriter(self._out, EPISODE_COLUMNS)
        self._writer.writeheader()
        self._writer.writerows(rows)

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            episode = info.get("episode")
            if episode is not None:
                self._writer.writerow(
                    {
                        "steps": self.num_timesteps,
                        "return": round(float(episode["r"]), 3),
                        "length": int(episode["l"]),
                        "seconds": round(time.time() - self._since, 1),
                        "cpu_seconds": round(time.process_time() - self._cpu_since, 1),
                    }
                )
        return True

    def _on_training_end(self) -> None:
        self._out.close()


def train(
    config: AgentConfig,
    run: AgentRun,
    *,
    resume: bool = False,
    device: str = "cpu",
    eval_every: int = 100_000,
    eval_episodes: int = 5,
    save_every: int = 25_000,
    progress: bool = True,
) -> BaseAlgorithm:
    """Trains an agent in a new folder, or goes on in one where that was begun.

    Going on starts new episodes, with the networks, the optimizer's state and the scale of
    rewards as they were saved; DQN fills its replay buffer again. A finished training is left as
    it is.

    Args:
        config: What to train.
        run: Where to.
        resume: Whether to go on.
        device: Where the networks run, as torch names it.
        eval_every: Steps between evaluations.
        eval_episodes: Episodes of each of these.
        save_every: Steps between saves, which are what a killed training loses at most.
        progress: Whether to show a progress bar.

    Returns:
        The trained agent, which is saved, too.

    Raises:
        ValueError: The folder holds a run that should not be resumed, or another one; or
            Stable-Baselines3 refuses the settings. Nothing is written then.
    """
    _check_folder(config, run, resume)
    envs = make_envs(config, config.envs, config.seed, device=device)
    judge_seed = config.seed + EVALUATION_SEED
    judges = make_envs(config, min(config.envs, eval_episodes), judge_seed, device=device)
    if config.settings.normalize_rewards:
        envs = VecNormalize(envs, norm_obs=False, gamma=config.settings.gamma)
        # `EvalCallback` wants both to be wrapped alike.
        judges = VecNormalize(judges, training=False, norm_obs=False, norm_reward=False)
    try:
        agent = build(config, envs, device, tensorboard=run.folder)
        if resume and run.agent_file.is_file():
            load_weights(agent, run.agent_file)
            return agent
        done = run.restore(agent) if resume else 0
        run.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(run.config_file, config.to_json().encode())
        every = max(1, eval_every // config.envs)
        judge = EvalCallback(
            judges,
            n_eval_episodes=eval_episodes,
            eval_freq=every,
            deterministic=config.settings.deterministic,
            verbose=0,
        )
        save = CheckpointCallback(
            max(1, save_every // config.envs),
            str(run.checkpoints),
            "agent",
            save_vecnormalize=True,
        )
        callbacks: list[BaseCallback] = [EpisodeLog(run.episodes_file), judge, save]
        if done < config.steps:
            agent.learn(
                config.steps - done,
                [*callbacks, ProgressBarCallback()] if progress else callbacks,
                tb_log_name="tensorboard",
                reset_num_timesteps=done == 0,
            )
    finally:
        envs.close()
        judges.close()
    # What is only needed to train on is left out: it is twice as large as the networks.
    agent.policy.optimizer.state.clear()
    buffer = io.BytesIO()
    agent.save(buffer)
    write_atomically(run.agent_file, buffer.getvalue())
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return agent


def _check_folder(config: AgentConfig, run: AgentRun, resume: bool) -> None:
    """Raises ValueError unless the folder is free, or holds this run and it shall go on."""
    if resume:
        found = run.config()
        if found != config:
            was, now = (vars(c) | vars(c.settings) for c in (found, config))
            names = [n for n in was if n in now and n != "settings" and was[n] != now[n]]
            expected, got = (", ".join(f"{n}={c[n]!r}" for n in names) for c in (was, now))
            raise ValueError(
                f"{run.folder} holds another run: expected {expected}, got {got}: resume it with "
                "its own arguments"
            )
    elif run.folder.exists() and any(path.name != LOCK for path in run.folder.iterdir()):
        raise ValueError(
            f"{run.folder} already holds a run: pass --resume to go on with it, or choose another "
            "--out"
        )
