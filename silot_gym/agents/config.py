"""What an agent is trained on, and how: all that is needed to train it again."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from silot_gym.agents.settings import SETTINGS, Algorithm, Settings
from silot_gym.atari import resolve_game
from silot_gym.checkpoint import Checkpoint, bundled, folder_of
from silot_gym.object_types import FIND, ObjectTypes

Observation = Literal["slots", "components", "pixels", "memory"]
View = Literal["vector", "attention", "deepset"]
Kind = TypeVar("Kind", bound=Settings)


@dataclass(frozen=True)
class AgentConfig:
    """An agent's observations, algorithm and training.

    Attributes:
        game: As ale-py spells it.
        obs: What the agent sees: SILOT's slots, connected components in slots, the pixels of
            Stable-Baselines3's Atari pipeline, or objects that OC_Atari reads from the console's
            memory.
        view: How the policy's network reads objects: as one vector ordered by type, as a set by
            attention, or as a deep set.
        checkpoint: Absolute path of a checkpoint, or the name of a bundled one; None for pixels and
            memory.
        rows: How many objects of each type the vector of an agent on slots has room for; None for
            other views, and for components and memory, where the types say.
        algo: The algorithm of Stable-Baselines3.
        settings: Its hyper-parameters.
        steps: Steps of the environments, all together.
        envs: Environments side by side.
        seed: Of environments, network and actions.
    """

    game: str
    obs: Observation = "slots"
    view: View = "vector"
    checkpoint: str | None = None
    rows: tuple[int, ...] | None = None
    algo: Algorithm = "ppo"
    settings: Settings = field(default_factory=SETTINGS["ppo"])
    steps: int = 500_000
    envs: int = 8
    seed: int = 0

    @classmethod
    def resolve(
        cls,
        game: str,
        obs: Observation,
        view: View | None,
        checkpoint: str | None,
        algo: Algorithm,
        changes: tuple[str, ...],
        steps: int,
        envs: int,
        seed: int,
    ) -> "AgentConfig":
        """A configuration from a command line's arguments.

        Args:
            game: In any usual spelling.
            obs: As the attribute.
            view: As the attribute; None for the default.
            checkpoint: Folder or bundled name; None for the one that is bundled for the game.
            algo: As the attribute.
            changes: `name=value` for each setting that isn't the default.
            steps: As the attribute.
            envs: As the attribute.
            seed: As the attribute.

        Raises:
            ValueError: An argument is out of range or does not go with another.
            CheckpointError: There is no such checkpoint.
        """
        game = resolve_game(game)
        for name, value, least in (("steps", steps, 1), ("envs", envs, 1), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"expected --{name} of at least {least}, got {value}")
        rows = None
        if obs == "pixels" and view is not None:
            raise ValueError(f"expected no --view with --obs pixels, got {view!r}")
        if obs in ("pixels", "memory"):
            if checkpoint is not None:
                raise ValueError(f"expected no --checkpoint with --obs {obs}, got {checkpoint!r}")
        else:
            # A bundled checkpoint is recorded by its name, which means the same on any machine.
            folder = folder_of(game if checkpoint is None else checkpoint)
            names = {path.resolve(): name for name, path in bundled().items()}
            checkpoint = names.get(folder.resolve(), str(folder.resolve()))
            if obs == "slots" and view in (None, "vector"):
                rows = tuple(types_needed(Checkpoint.load(checkpoint)).max_count.tolist())
        kind = SETTINGS[algo]
        settings = changed(kind.for_pixels() if obs == "pixels" else kind(), changes)
        return cls(game, obs, view or "vector", checkpoint, rows, algo, settings, steps, envs, seed)

    def to_json(self) -> str:
        """All of it as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "AgentConfig":
        """The inverse of `to_json`.

        Raises:
            ValueError: The text is no such configuration.
        """
        try:
            values = json.loads(text)
            settings = values.pop("settings")
            for part in (values, settings):
                part |= {name: tuple(v) for name, v in part.items() if isinstance(v, list)}
            config = cls(**values, settings=SETTINGS[values["algo"]](**settings))
            if config.obs not in get_args(Observation) or config.view not in get_args(View):
                raise ValueError(f"{config.obs} {config.view}")
            return config
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"expected the configuration of an agent, got {error!r}") from None


def types_needed(checkpoint: Checkpoint) -> ObjectTypes:
    """The types of a checkpoint.

    Raises:
        ValueError: It has none.
    """
    if checkpoint.types is None:
        raise ValueError(f"views of slots need a checkpoint with types of objects: {FIND}")
    return checkpoint.types


def changed(settings: Kind, changes: tuple[str, ...]) -> Kind:
    """Settings with some of them set by `name=value`, the value as in JSON.

    Raises:
        ValueError: There is no such setting, or the value is of another type or out of range.
    """
    fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    values: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in fields:
            raise ValueError(f"expected --set name=value with one of {list(fields)}, got {change}")
        try:
            value = json.loads(text)
            value = tuple(value) if isinstance(fields[name], tuple) else value
            if isinstance(fields[name], float) and type(value) is int:
                value = float(value)
        except (ValueError, TypeError):
            value = None
        if type(value) is not type(fields[name]):
            kind, default = type(fields[name]).__name__, json.dumps(fields[name])
            raise ValueError(f"expected --set {name}={default} or another {kind}, got {change}")
        values[name] = value
    return dataclasses.replace(settings, **values)


def default_folder(config: AgentConfig) -> Path:
    """Where a run goes if no folder is named."""
    return Path("runs") / f"{config.game}-{config.obs}-{config.algo}-{config.seed}"
