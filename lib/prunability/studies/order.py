"""In which order a study's runs are made where not all may be: what is done early is then a balanced study."""

import math
from collections.abc import Hashable, Sequence

import numpy as np

from prunability.studies.grid import Study
from prunability.training.config import RunConfig

# The most settings of a block: so many are a study of their own, and half an hour of one fast GPU.
BLOCK = 54


def blocks(study: Study) -> list[list[RunConfig]]:
    """All runs of a study in blocks, the first to be made first.

    A block holds one run each of a balanced choice of at most :data:`BLOCK` settings; the same settings with the
    next seed follow, then other settings. Runs beside the main grid come last.
    """
    main = study.parts["grid"]
    copies: dict[str, list[RunConfig]] = {}
    for run in study.runs:
        if run.hash in main:
            copies.setdefault(run.setting_hash, []).append(run)
    settings = list(copies.values())
    order = balanced([[runs[0].setting(name) for name in study.hyperparameters] for runs in settings])
    size = math.ceil(len(order) / max(1, math.ceil(len(order) / BLOCK)))
    seeds = max(map(len, settings), default=0)
    ordered = [
        [settings[one][seed] for one in order[start : start + size] if seed < len(settings[one])]
        for start in range(0, len(order), size or 1)
        for seed in range(seeds)
    ]
    beside = [run for run in study.runs if run.hash not in main]
    return [*ordered, beside] if beside else ordered


def balanced(settings: Sequence[Sequence[Hashable]]) -> list[int]:
    """The order of settings, each given by its levels, in which any beginning has levels in nearly equal numbers.

    The next setting is always the first of those that share the fewest pairs of levels with the ones before it:
    then not only levels, but also their pairs occur nearly equally often, and no two hyperparameters go together.
    """
    shared = np.zeros((len(settings), len(settings)))
    for column in zip(*settings, strict=True):
        levels = np.array([column.index(level) for level in column])
        shared += np.equal.outer(levels, levels)
    order: list[int] = []
    seen = np.zeros(len(settings))
    while len(order) < len(settings):
        order.append(int(np.argmin(seen)))
        seen += shared[order[-1]] ** 2
        seen[order[-1]] = np.inf
    return order
