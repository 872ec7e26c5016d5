"""What a run is: a frozen, validated configuration whose hash is the run's identity.

Every field that can change a result is in :class:`RunConfig`, defaults included. Where and how fast a
run is computed (device, workers, folders) is in :class:`Execution` and never enters the hash.
"""

import hashlib
import json
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

# Raised by one whenever the code changes what a configuration means for training. Runs of earlier versions
# keep their names, can be read and shown as what they are, and are no longer made.
VERSION, EARLIEST = 3, 2

Fraction = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PrunabilityError(Exception):
    """A mistake that a user can mend; the message says what is wrong and what would be right."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(_Frozen):
    """Which training and test examples; the data set is named by the checksum of its content."""

    checksum: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    n_train: Count
    label_noise: Fraction = 0.0
    seed: Annotated[int, Field(ge=0)] = 0


class NiNConfig(_Frozen):
    """A network-in-network: ``depth`` blocks of ``width`` channels."""

    kind: Literal["nin"] = "nin"
    width: Count
    depth: Count
    dropout: Dropout = 0.0


class MLPConfig(_Frozen):
    """One hidden layer of ``width`` ReLU units."""

    kind: Literal["mlp"] = "mlp"
    width: Count


class ResNetConfig(_Frozen):
    """A pre-activation ResNet18 whose first stage has ``width`` channels."""

    kind: Literal["resnet18"] = "resnet18"
    width: Count


NetworkConfig = NiNConfig | MLPConfig | ResNetConfig


class TrainingConfig(_Frozen):
    """Constant learning rate, to a target cross-entropy or, without stopping there, for a number of epochs.

    ``momentum`` is SGD's, and Adam's β₁ (its β₂ is 0.999). ``augmentation`` is a random crop after padding by
    an eighth of the size, and a random horizontal flip.
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


# What only says when a training ends: a longer one begins as the shorter one does, draw by draw.
ENDS = {"target_loss", "stop_at_target", "max_epochs"}


class RunConfig(_Frozen):
    """One network, trained once."""

    data: DataConfig
    network: Annotated[NetworkConfig, Field(discriminator="kind")]
    training: TrainingConfig
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    version: Annotated[int, Field(ge=EARLIEST, le=VERSION)] = VERSION

    @model_validator(mode="after")
    def _batches_fit(self) -> "RunConfig":
        if self.training.batch_size > self.data.n_train:
            raise ValueError(f"batch_size {self.training.batch_size} exceeds n_train {self.data.n_train}")
        return self

    @property
    def hash(self) -> str:
        """16 hexadecimal digits over every field of the configuration."""
        return digest(self.model_dump(mode="json"))[:16]

    @property
    def setting_hash(self) -> str:
        """The same without the seed: runs of one setting share it."""
        return digest(self.model_dump(mode="json", exclude={"seed"}))[:16]

    @property
    def dropout(self) -> float:
        """The network's dropout rate, 0 for networks without dropout."""
        return self.network.dropout if isinstance(self.network, NiNConfig) else 0.0

    def setting(self, name: str) -> float:
        """A hyperparameter of the network, the training or the data, by name."""
        parts = (self.network, self.training, self.data)
        value: float = next(getattr(part, name) for part in parts if name in type(part).model_fields)
        return value

    def seed_key(self, purpose: str) -> tuple[str, str]:
        """The key of this run's random draws for one purpose; when the training ends is not part of it."""
        return (_draws(self), purpose)


@lru_cache(maxsize=4096)
def _draws(config: RunConfig) -> str:
    return digest(config.model_dump(mode="json", exclude={"training": ENDS}))


class Execution(BaseModel):
    """How and where runs are computed; nothing in it can change what a run is.

    ``device`` is "auto" (a GPU where there is one), "cpu" or "cuda"; ``workers`` is a number of
    processes, 0 for one a core on the CPU and one in all on a GPU. ``runs`` is the folder of the run store,
    ``data`` of downloaded images, ``results`` of the published tables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    runs: Path
    data: Path
    results: Path

    @property
    def torch_device(self) -> torch.device:
        """The device asked for.

        Raises:
            PrunabilityError: "cuda" was asked for and no GPU is there.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise PrunabilityError('device "cuda": no GPU is available here; use "cpu" or "auto"')
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")

    @property
    def processes(self) -> int:
        """How many runs are computed side by side."""
        if self.workers:
            return self.workers
        return 1 if self.torch_device.type == "cuda" else cores()


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def writable(folder: Path, what: str) -> None:
    """Make a folder and see that it can be written, before any work is done for it.

    Raises:
        PrunabilityError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PrunabilityError(
            f"{what}: cannot write in {folder} ({error.strerror}); name another folder"
        ) from error


def digest(content: object) -> str:
    """SHA-256 of the canonical JSON of ``content``, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def explain(error: ValidationError) -> str:
    """One readable line for each field that a validation refused."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'value'}: {item['msg']} (got {item['input']!r})"
        for item in error.errors()
    )
