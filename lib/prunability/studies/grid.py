"""What a study is: grids of runs on one data set, at one profile."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import ValidationError

from prunability.data.dataset import DataConfig
from prunability.data.images import DataFacts
from prunability.foundation.errors import PrunabilityError, explain
from prunability.foundation.files import digest
from prunability.measures.masks import static_counts
from prunability.measures.search import prunable
from prunability.training.config import NETWORKS, VERSION, NetworkConfig, RunConfig, TrainingConfig
from prunability.training.networks import make_network
from prunability.training.origin import Origin, Static

# All settings of each run of a part of a study.
Listed = Callable[[DataFacts], Sequence[Mapping[str, Any]]]
# The names of the probes that are wanted of a run, each with the partner of a pair's.
Probes = Callable[[RunConfig], Sequence[tuple[str, RunConfig | None]]]


def no_probes(config: RunConfig) -> Sequence[tuple[str, RunConfig | None]]:
    """For studies that want none."""
    del config
    return ()


@dataclass(frozen=True)
class Wanted:
    """What a study wants to know of its runs: which functions of measures, None being all, and which probes."""

    measures: tuple[str, ...] | None = None
    probes: Probes = no_probes


@dataclass(frozen=True)
class Profile:
    """One size of a study.

    ``grid`` maps fields of a run's configuration (of data, network, training, its ``seed`` and ``origin``) to the
    values that are combined in every way; ``fixed`` sets others, ``kind`` the network's. ``also`` holds further
    grids by name, on the same ``fixed``, or functions that list all settings of runs on given images. ``claims``
    says whether a verdict may rest on it, ``gpu`` whether it is too large to be trained without one unless somebody
    asks for just that, ``made_here`` whether it takes minutes, so that its notebooks show one's own runs unless the
    published ones are asked for. ``wanted`` says what is measured.
    """

    data: str
    grid: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any]
    n_train: int | None = None
    claims: bool = True
    gpu: bool = False
    made_here: bool = False
    also: Mapping[str, Mapping[str, Sequence[Any]] | Listed] = field(default_factory=dict)
    wanted: Wanted = Wanted()


@dataclass(frozen=True)
class Study:
    """The runs of a study at a profile, on images of which at least the facts are known.

    ``source`` says where the images are, None if they are not at hand: then nothing can be trained. ``parts``
    holds the hashes of the runs of each grid: the main one is ``grid``, others have their names.
    """

    name: str
    profile: str
    source: str | None
    data: DataFacts
    hyperparameters: tuple[str, ...]
    runs: tuple[RunConfig, ...]
    claims: bool
    gpu: bool
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wanted: Wanted = Wanted()

    @property
    def hash(self) -> str:
        """A checksum over the configurations of all runs."""
        return digest([run.hash for run in self.runs])


def expand(
    name: str,
    profile_name: str,
    profile: Profile,
    source: str | None,
    data: DataFacts,
    seed: int,
    version: int = VERSION,
) -> Study:
    """All runs of a profile's grid, by the meaning that a configuration had in ``version``.

    Raises:
        PrunabilityError: the data set is too small for the profile, or a run of it can be none.
    """
    grids = {"grid": profile.grid, **profile.also}
    if empty := [key for grid in grids.values() if not callable(grid) for key in grid if not len(grid[key])]:
        raise PrunabilityError(f"study {name}, profile {profile_name}: no run, for no value is given of {empty[0]}")
    n_train = profile.n_train or data.train
    if n_train > data.train:
        raise PrunabilityError(
            f"profile {profile_name!r} trains on {n_train} images, but {data.title} has {data.train}: "
            "use another profile or a larger data set"
        )
    content = DataConfig(checksum=data.checksum, n_train=n_train)
    try:
        parts = {
            part: [
                _run(content, settings, seed, version)
                for settings in (
                    grid(data) if callable(grid) else ({**profile.fixed, **own} for own in combined(grid))
                )
            ]
            for part, grid in grids.items()
        }
    except ValidationError as error:
        raise PrunabilityError(f"study {name}, profile {profile_name}: {explain(error)}") from error
    varied = tuple(key for key in profile.grid if key != "seed")
    runs = tuple(dict.fromkeys(itertools.chain.from_iterable(parts.values())))
    for run in runs:
        if isinstance(run.origin, Static):
            static_counts(prunable_sizes(run.network, data), run.origin.density)
    hashes = {part: frozenset(run.hash for run in members) for part, members in parts.items()}
    return Study(
        name, profile_name, source, data, varied, runs, profile.claims, profile.gpu, hashes, profile.wanted
    )


def combined(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The settings of each run of a grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def prunable_sizes(network: NetworkConfig, data: DataFacts) -> dict[str, int]:
    """How many prunable weights each layer of a network has, from the first to the last."""
    with torch.device("meta"):
        weights = prunable(make_network(network, data.shape, data.classes))
    return {name: weight.numel() for name, weight in weights.items()}


def _run(data: DataConfig, settings: Mapping[str, Any], seed: int, version: int) -> RunConfig:
    """A run with its settings, each put where the field of that name is.

    The seeds of a grid count from a hundred times the study's own, so that studies share no run.
    """
    if (named := settings.get("kind", "nin")) not in NETWORKS:
        raise PrunabilityError(f"kind {named!r}: it must be one of {', '.join(NETWORKS)}")
    kind = NETWORKS[named]
    parts: dict[str, dict[str, Any]] = {"data": data.model_dump(), "network": {}, "training": {}}
    origin: Origin | None = None
    for key, value in settings.items():
        if key == "seed":
            seed = 100 * seed + value
        elif key == "origin":
            origin = value
        elif key in kind.model_fields:
            parts["network"][key] = value
        else:
            parts["data" if key in DataConfig.model_fields else "training"][key] = value
    return RunConfig(
        data=DataConfig(**parts["data"]),
        network=kind(**parts["network"]),
        training=TrainingConfig(**parts["training"]),
        seed=seed,
        version=version,
        origin=origin,
    )
