"""What a run is: a frozen, validated configuration whose hash is the run's identity.

Every field that can change a result is in :class:`RunConfig`, defaults included. Where and how fast a
run is computed is in :class:`prunability.foundation.execution.Execution` and never enters the hash.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from prunability.data.dataset import DataConfig
from prunability.foundation.fields import Count, Dropout, Frozen, NonNegative, Positive
from prunability.foundation.files import canonical, digest
from prunability.training.origin import Origin, Ticket, before, begins, purpose

# Raised by one whenever the code changes what a configuration means for training. Runs of earlier versions
# keep their names, can be read and shown as what they are, and are no longer made.
VERSION, EARLIEST = 3, 2


def _is_off(value: float) -> bool:
    return value == 0


class NiNConfig(Frozen):
    """A network-in-network: ``depth`` blocks of ``width`` channels."""

    kind: Literal["nin"] = "nin"
    width: Count
    depth: Count
    dropout: Dropout = 0.0


class MLPConfig(Frozen):
    """One hidden layer of ``width`` ReLU units, and ``linear_layers`` of as many units without ReLU after it."""

    kind: Literal["mlp"] = "mlp"
    width: Count
    linear_layers: Annotated[int, Field(ge=0)] = Field(default=0, exclude_if=_is_off)


class ResNetConfig(Frozen):
    """A pre-activation ResNet18 whose first stage has ``width`` channels."""

    kind: Literal["resnet18"] = "resnet18"
    width: Count


class CNNConfig(Frozen):
    """A convolutional network of five layers whose first one has ``width`` channels."""

    kind: Literal["cnn"] = "cnn"
    width: Count


NetworkConfig = NiNConfig | MLPConfig | ResNetConfig | CNNConfig
NETWORKS: Mapping[str, type[NetworkConfig]] = {
    config.model_fields["kind"].default: config for config in get_args(NetworkConfig)
}


# Where it is 0, and so off, no part of what is written and hashed.
Option = Annotated[float, Field(ge=0, lt=1, exclude_if=_is_off)]


class TrainingConfig(Frozen):
    """Constant learning rate, to a target cross-entropy or, without stopping there, for a number of epochs.

    ``momentum`` is SGD's, and Adam's β₁ (its β₂ is 0.999). ``augmentation`` is a random crop after padding by
    an eighth of the size, and a random horizontal flip. ``adversarial`` is how far, in parts of a pixel's range,
    images are moved in training to raise their loss. ``label_smoothing``, ``confidence_penalty`` and
    ``temporal_smoothing`` change what a step minimises (:mod:`prunability.training.losses`), ``warmup_epochs`` how
    fast it begins (:mod:`prunability.training.warmup`). What is 0 of these is not written or hashed.
    """

    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive
    batch_size: Annotated[int, Field(ge=2)]
    weight_decay: NonNegative = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    augmentation: bool = False
    target_loss: Positive = 0.01
    stop_at_target: bool = True
    max_epochs: Count = 300
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    adversarial: Annotated[float, Field(ge=0, le=1, exclude_if=_is_off)] = 0.0
    label_smoothing: Option = 0.0
    confidence_penalty: Annotated[NonNegative, Field(exclude_if=_is_off)] = 0.0
    temporal_smoothing: Option = 0.0
    warmup_epochs: Annotated[int, Field(ge=0, lt=2**31, exclude_if=_is_off)] = 0

    @model_validator(mode="after")
    def _label_counts(self) -> "TrainingConfig":
        if (others := self.label_smoothing + self.temporal_smoothing) >= 1:
            raise ValueError(f"label_smoothing and temporal_smoothing: {others:g} together, it must be less than 1")
        return self

    @model_validator(mode="after")
    def _reaches_target(self) -> "TrainingConfig":
        # Of two classes; the more there are, the higher it is.
        rest = -math.log1p(-self.label_smoothing / 2)
        if self.stop_at_target and rest >= self.target_loss:
            raise ValueError(
                f"with label_smoothing {self.label_smoothing:g} the cross-entropy rests at {rest:.3g} nats "
                f"or more, not below target_loss {self.target_loss:g}: raise that, or set stop_at_target to false"
            )
        return self

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> "TrainingConfig":
        # One of fixed length may be the beginning of a longer one.
        if self.stop_at_target and self.warmup_epochs > self.max_epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} exceeds max_epochs {self.max_epochs}")
        return self


def hash_of(text: bytes) -> str:
    """The identity of a run, from the text of its configuration."""
    return hashlib.sha256(text).hexdigest()[:16]


# What only says when a training ends: a longer one begins as the shorter one does, draw by draw.
ENDS = {"target_loss", "stop_at_target", "max_epochs"}
# What changes a step's loss.
LOSS = {"label_smoothing", "confidence_penalty", "temporal_smoothing"}


def _is_none(value: object) -> bool:
    return value is None


class RunConfig(Frozen):
    """One network, trained once."""

    data: DataConfig
    network: Annotated[NetworkConfig, Field(discriminator="kind")]
    training: TrainingConfig
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    version: Annotated[int, Field(ge=EARLIEST, le=VERSION)] = VERSION
    # Of a dense network from its initialisation it is none, and then no part of what is written and hashed.
    origin: Annotated[Origin, Field(discriminator="kind")] | None = Field(default=None, exclude_if=_is_none)

    @model_validator(mode="after")
    def _batches_fit(self) -> "RunConfig":
        if self.training.batch_size > self.data.n_train:
            raise ValueError(f"batch_size {self.training.batch_size} exceeds n_train {self.data.n_train}")
        return self

    @model_validator(mode="after")
    def _begins_in_time(self) -> "RunConfig":
        kept = getattr(self.origin, "rewind", self.begins)
        if kept >= self.training.max_epochs:
            raise ValueError(f"origin: epoch {kept} must come before max_epochs {self.training.max_epochs}")
        return self

    @property
    def text(self) -> bytes:
        """The canonical JSON of every field: two configurations are equal where it is the same."""
        return canonical(self.model_dump(mode="json"))

    @property
    def hash(self) -> str:
        """16 hexadecimal digits over every field of the configuration."""
        return hash_of(self.text)

    @property
    def setting_hash(self) -> str:
        """The same without the seed: runs of one setting share it."""
        return digest(self.model_dump(mode="json", exclude={"seed"}))[:16]

    @property
    def dropout(self) -> float:
        """The network's dropout rate, 0 for networks without dropout."""
        rate: float = getattr(self.network, "dropout", 0.0)
        return rate

    def setting(self, name: str) -> float:
        """A hyperparameter of the network, the training or the data, by name."""
        parts = (self.network, self.training, self.data)
        value: float = next(getattr(part, name) for part in parts if name in type(part).model_fields)
        return value

    @property
    def begins(self) -> int:
        """The epoch of the dense network that comes first."""
        return begins(self.origin)

    @property
    def rewound_to(self) -> "RunConfig | None":
        """The shorter training of the dense network at whose end this one begins; None: at initialisation."""
        if not self.begins:
            return None
        ends = {"max_epochs": self.begins, "stop_at_target": False}
        return self.model_copy(update={"training": self.training.model_copy(update=ends), "origin": None})

    @property
    def pruned_from(self) -> "RunConfig | None":
        """The run whose trained weights say which of this one's are left; None: none does."""
        if not isinstance(self.origin, Ticket):
            return None
        return self.model_copy(update={"origin": before(self.origin)})

    @property
    def parents(self) -> "list[RunConfig]":
        """The runs that are trained before this one."""
        return [run for run in (self.rewound_to, self.pruned_from) if run is not None]

    @property
    def course_key(self) -> str:
        """What trainings share that differ in their end alone: a shorter one begins as the longer one does."""
        return _course(self)

    def seed_key(self, of_dense: str) -> tuple[str, str]:
        """The key of this run's random draws for one purpose, those of the dense network where its origin has none
        of its own; when the training ends is not part of it.
        """
        dense = self.model_copy(update={"origin": None}) if self.origin is not None else self
        return (dense.course_key, purpose(of_dense, self.origin))


@lru_cache(maxsize=4096)
def _course(config: RunConfig) -> str:
    return digest(config.model_dump(mode="json", exclude={"training": ENDS}))


def shape_of(config: RunConfig) -> str:
    """What the networks of a fleet have in common; all else may differ from network to network."""
    network = config.network.model_dump(exclude={"dropout"})
    rules = config.training
    same = rules.model_dump(include={"optimiser", "batch_size", "augmentation", "precision", "adversarial"} | LOSS)
    return json.dumps([config.data.model_dump(), network, same], sort_keys=True)
