"""An agent's run folder: what is in it, and how an agent comes back from it."""

import pickle
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from silot_gym.agents.config import AgentConfig
from silot_gym.sb3 import DeepSetExtractor, SlotAttentionExtractor

_EXTRACTORS = {"attention": SlotAttentionExtractor, "deepset": DeepSetExtractor}


@dataclass(frozen=True)
class AgentRun:
    """The folder of a run, and the names of its files.

    Attributes:
        folder: It holds `agent.json` (the configuration, as `AgentConfig.to_json`), `agent.zip`
            (the trained agent, for Stable-Baselines3's `load`), `episodes.csv` (every episode of
            the training), `evaluation.json` (of the trained agent), TensorBoard's files, and while
            training goes on `checkpoints/`, from which it can be resumed.
    """

    folder: Path

    @property
    def config_file(self) -> Path:
        """The configuration."""
        return self.folder / "agent.json"

    @property
    def agent_file(self) -> Path:
        """The trained agent."""
        return self.folder / "agent.zip"

    @property
    def episodes_file(self) -> Path:
        """One line for each episode of the training."""
        return self.folder / "episodes.csv"

    @property
    def evaluation_file(self) -> Path:
        """Figures of the evaluation at the end."""
        return self.folder / "evaluation.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of unfinished agents."""
        return self.folder / "checkpoints"

    def config(self) -> AgentConfig:
        """The run's configuration.

        Raises:
            ValueError: The folder holds no run.
        """
        if not self.config_file.is_file():
            raise ValueError(f"expected a run of agents/train.py, found no {self.config_file}")
        try:
            return AgentConfig.from_json(self.config_file.read_text())
        except ValueError as error:
            raise ValueError(f"{self.config_file}: {error}") from None

    def load(self, envs: VecEnv, device: str = "cpu") -> BaseAlgorithm:
        """The trained agent, for environments like those of its training.

        Nothing in the folder is executed: the agent is built from the configuration, and only
        numbers are read from its file.

        Raises:
            ValueError: The folder holds no trained agent, or one for other environments.
        """
        if not self.agent_file.is_file():
            raise ValueError(
                f"expected a trained agent, found no {self.agent_file}: finish the training with "
                "--resume"
            )
        with warnings.catch_warnings():
            # That batches don't fit the number of environments matters in training only.
            warnings.simplefilter("ignore")
            agent = build(self.config(), envs, device)
        load_weights(agent, self.agent_file)
        return agent

    def saved_steps(self) -> list[int]:
        """Steps after which the training was saved, the last ones first."""
        pattern = re.compile(r"agent_(\d+)_steps\.zip")
        found = (pattern.fullmatch(file.name) for file in self.checkpoints.glob("*.zip"))
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def restore(self, agent: BaseAlgorithm) -> int:
        """Brings an agent back to where its training was saved last.

        What a killed process left half written is passed over.

        Returns:
            The number of steps that are done; 0 if nothing was saved.
        """
        rewards = agent.get_vec_normalize_env()
        for steps in self.saved_steps():
            try:
                if rewards is not None:
                    file = self.checkpoints / f"agent_vecnormalize_{steps}_steps.pkl"
                    scale = VecNormalize.load(str(file), rewards.venv).ret_rms
                # The weights come last, so that what is passed over leaves no trace.
                load_weights(agent, self.checkpoints / f"agent_{steps}_steps.zip")
            except (ValueError, OSError, EOFError, pickle.UnpicklingError):
                continue
            if rewards is not None:
                rewards.ret_rms = scale
            agent.num_timesteps = steps
            return steps
        return 0


def build(
    config: AgentConfig, envs: VecEnv, device: str, tensorboard: Path | None = None
) -> BaseAlgorithm:
    """An untrained agent.

    Raises:
        ValueError: Stable-Baselines3 refuses the settings.
    """
    settings = config.settings
    network = settings.network()
    if config.obs != "pixels" and config.view != "vector":
        network["features_extractor_class"] = _EXTRACTORS[config.view]
    arguments: dict[str, Any] = settings.arguments(config.steps, envs.num_envs)
    try:
        return settings.algorithm(
            "CnnPolicy" if config.obs == "pixels" else "MlpPolicy",
            envs,
            policy_kwargs=network,
            seed=config.seed,
            device=device,
            tensorboard_log=None if tensorboard is None else str(tensorboard),
            **arguments,
        )
    except AssertionError as error:  # so it checks its arguments
        raise ValueError(f"expected other settings of {config.algo}: {error}") from None


def load_weights(agent: BaseAlgorithm, file: Path) -> None:
    """Takes over the networks, and the optimizer's state, that were saved in a file.

    Raises:
        ValueError: The file is damaged, or of another agent.
    """
    try:
        _, parameters, _ = load_from_zip_file(file, load_data=False, device=agent.device)
        agent.set_parameters(parameters, device=agent.device)
    except Exception as error:  # a foreign or damaged file can fail in many ways
        reason = " ".join(str(error).split())
        raise ValueError(f"{file}: expected an agent of this run, got {reason:.200}") from None
