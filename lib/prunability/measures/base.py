"""What a measure is: a function of a trained network, registered with its source and its version.

Every measure is written so that it should *rise* with the test loss.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import torch

from prunability.measures.subject import Measurable, UndefinedMeasureError


@dataclass(frozen=True)
class Measure:
    """One column of the table of runs.

    ``formula`` is what is computed, ``source`` where it comes from with its equation there, ``unit`` in what
    ("1" for a pure number). A quantity that its source expects to *fall* with the test loss is ``negated``.
    ``of_prunability`` tells prunability with its variants, and what is computed from it, from its rivals.
    """

    name: str
    label: str
    family: str
    source: str
    formula: str = ""
    unit: str = "1"
    negated: bool = False
    of_prunability: Literal["no", "variant", "made from it"] = "no"


class Estimated(NamedTuple):
    """A value that random draws estimate, with the standard error of that estimate, in the same unit."""

    value: float
    standard_error: float


def standard_error(draws: Sequence[float]) -> float:
    """Of the mean of independent draws: their standard deviation over the root of their number."""
    return torch.tensor(draws, dtype=torch.float64).std().item() / math.sqrt(len(draws))


Function = Callable[[Measurable], Mapping[str, float | Estimated]]


@dataclass(frozen=True)
class Group:
    """Measures that one function computes together. A changed definition takes a new version."""

    function: Function = field(repr=False)
    version: int
    measures: tuple[Measure, ...]


REGISTRY: dict[str, Group] = {}


def measure(*members: Measure, version: int = 1) -> Callable[[Function], Function]:
    """Register a function of a :class:`Measurable` that returns a value for the name of each member."""

    def register(function: Function) -> Function:
        taken = {known.name for group in REGISTRY.values() for known in group.measures}
        if clash := taken & {member.name for member in members}:
            raise ValueError(f"measures registered twice: {sorted(clash)}")
        REGISTRY[function.__name__] = Group(function, version, members)
        return function

    return register


class Taken(NamedTuple):
    """What a function of measures gave for a network: values, standard errors of some, or why there is none."""

    values: dict[str, float]
    standard_errors: dict[str, float]
    undefined: str | None = None


def take(name: str, run: Measurable) -> Taken:
    """What a registered function gives for a network; a value, or its error, that is no finite number is none."""
    try:
        found = REGISTRY[name].function(run)
    except UndefinedMeasureError as error:
        return Taken({}, {}, str(error))
    values = {name: value.value if isinstance(value, Estimated) else value for name, value in found.items()}
    errors = {name: value.standard_error for name, value in found.items() if isinstance(value, Estimated)}
    if broken := [name for name, value in [*values.items(), *errors.items()] if not math.isfinite(value)]:
        return Taken({}, {}, f"{', '.join(broken)}: not a finite number")
    return Taken(values, errors)


def all_measures() -> dict[str, Measure]:
    """Every registered measure by name, in order of registration."""
    return {member.name: member for group in REGISTRY.values() for member in group.measures}


Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def shared(
    function: Callable[Concatenate[Measurable, Arguments], Answer],
) -> Callable[Concatenate[Measurable, Arguments], Answer]:
    """Let a function of a run, which several measures need, be computed once for each run."""

    @wraps(function)
    def once(run: Measurable, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        key = (function.__module__, function.__qualname__, args, tuple(sorted(kwargs.items())))
        if key not in run.cache:
            run.cache[key] = function(run, *args, **kwargs)
        answer: Answer = run.cache[key]
        return answer

    return once
