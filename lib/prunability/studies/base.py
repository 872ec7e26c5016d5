"""What a study is: a grid of runs on one data set, at one profile."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from prunability.config import (
    DataConfig,
    NiNConfig,
    PrunabilityError,
    RunConfig,
    TrainingConfig,
    digest,
    explain,
)
from prunability.data import ImageSet


@dataclass(frozen=True)
class Profile:
    """One size of a study.

    ``grid`` maps fields of the network's and the training's configuration to the values that are
    combined in every way; ``fixed`` sets others. ``claims`` says whether a verdict may rest on it.
    """

    data: str
    grid: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any]
    n_train: int | None = None
    label_noise: float = 0.0
    claims: bool = True


@dataclass(frozen=True)
class Study:
    """The runs of a study at a profile, on the images that were found."""

    name: str
    profile: str
    source: str
    images: ImageSet
    hyperparameters: tuple[str, ...]
    runs: tuple[RunConfig, ...]
    claims: bool

    @property
    def hash(self) -> str:
        """A checksum over the configurations of all runs."""
        return digest([run.hash for run in self.runs])


def expand(name: str, profile_name: str, profile: Profile, source: str, images: ImageSet, seed: int) -> Study:
    """All runs of a profile's grid.

    Raises:
        PrunabilityError: the data set is too small for the profile.
    """
    total = len(images.labels["train"])
    n_train = profile.n_train or total
    if n_train > total:
        raise PrunabilityError(
            f"profile {profile_name!r} trains on {n_train} images, but {images.title} has {total}: "
            "use another profile or a larger data set"
        )
    data = DataConfig(checksum=images.checksum, n_train=n_train, label_noise=profile.label_noise)
    try:
        runs = tuple(
            _run(data, {**profile.fixed, **dict(zip(profile.grid, values, strict=True))}, seed)
            for values in itertools.product(*profile.grid.values())
        )
    except ValidationError as error:
        raise PrunabilityError(f"study {name}, profile {profile_name}: {explain(error)}") from error
    return Study(name, profile_name, source, images, tuple(profile.grid), runs, profile.claims)


def _run(data: DataConfig, settings: Mapping[str, Any], seed: int) -> RunConfig:
    network = {key: value for key, value in settings.items() if key in NiNConfig.model_fields}
    training = {key: value for key, value in settings.items() if key not in network}
    return RunConfig(data=data, network=NiNConfig(**network), training=TrainingConfig(**training), seed=seed)
