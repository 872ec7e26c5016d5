from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from prunability.training.config import EARLIEST, ENDS, VERSION, MLPConfig, ResNetConfig, RunConfig, TrainingConfig


def leaves(model: BaseModel, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in type(model).model_fields:
        if (value := getattr(model, name)) is None:
            continue
        found += leaves(value, (*prefix, name)) if isinstance(value, BaseModel) else [(*prefix, name)]
    return found


def changed(content: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    other = {
        "checksum": "0" * 64, "precision": "float32", "kind": "nin", "version": VERSION, "momentum": 0.5,
        "dropout": 0.3, "label_noise": 0.2, "batch_size": 7, "optimiser": "adam",
        "augmentation": True, "stop_at_target": False, "shuffled": "simple", "adversarial": 0.1,
        "label_smoothing": 0.05, "temporal_smoothing": 0.2,
    }  # fmt: skip
    part = content
    for name in path[:-1]:
        part = part[name]
    value: Any = part.get(path[-1], 0)
    part[path[-1]] = other[path[-1]] if path[-1] in other else value + (1 if isinstance(value, int) else 0.5)
    return content


def test_every_field_enters_the_hash(small_run: RunConfig) -> None:
    hashes = {small_run.hash}
    paths = [path for path in leaves(small_run) if path[-1] not in ("kind", "version")]
    for path in paths:
        hashes.add(RunConfig.model_validate(changed(small_run.model_dump(), path)).hash)
    hashes.add(small_run.model_copy(update={"version": EARLIEST}).hash)
    # Two kinds of networks with the same fields.
    for kind in (MLPConfig, ResNetConfig):
        hashes.add(small_run.model_copy(update={"network": kind(width=12)}).hash)
    assert len(hashes) == len(paths) + 4


def test_only_the_end_of_training_leaves_the_draws_alone(small_run: RunConfig) -> None:
    for path in leaves(small_run):
        if path[-1] not in ("kind", "version"):
            other = RunConfig.model_validate(changed(small_run.model_dump(), path))
            same = other.seed_key("dropout") == small_run.seed_key("dropout")
            assert same == (path[-1] in ENDS), path
    assert set(TrainingConfig.model_fields) > ENDS


def test_json_loads_back(small_run: RunConfig) -> None:
    assert RunConfig.model_validate_json(small_run.model_dump_json()) == small_run


def test_is_frozen(small_run: RunConfig) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        small_run.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("training", "learning_rate", 0.0),
        ("training", "learning_rate", float("nan")),
        ("training", "learning_rate", "0.1"),
        ("training", "batch_size", 1),
        ("training", "batch_size", 121),
        ("training", "typo", 1),
        ("network", "width", 0),
        ("network", "dropout", 1.0),
        ("data", "label_noise", 1.5),
        ("data", "checksum", "digits"),
        ("data", "n_train", 0),
        ("training", "label_smoothing", 1.0),
        ("training", "label_smoothing", -0.1),
        ("training", "temporal_smoothing", 1.0),
        ("training", "confidence_penalty", -0.1),
        ("training", "confidence_penalty", float("inf")),
        ("training", "adversarial", -0.1),
        ("training", "adversarial", 1.1),
        ("training", "warmup_epochs", -1),
        ("training", "warmup_epochs", 10**30),
        ("training", "warmup_epochs", 10_000),
    ],
)
def test_bad_values_are_refused(small_run: RunConfig, part: str, name: str, value: object) -> None:
    content = small_run.model_dump()
    content[part][name] = value
    with pytest.raises(ValidationError, match=name):
        RunConfig.model_validate(content)
