"""The list of all measures, in Markdown."""

from collections.abc import Mapping

import pandas as pd

from prunability.claims.words import markdown
from prunability.measures import REGISTRY, Measure, all_measures


def measure_list(costs: Mapping[str, float]) -> str:
    """All measures by family: what each is, where from, its unit, direction and cost, and how each function works.

    ``costs`` maps functions to seconds over those of one forward pass over the training set.
    """
    parts = []
    for family in dict.fromkeys(measure.family for measure in all_measures().values()):
        rows, notes = [], []
        for function, group in REGISTRY.items():
            members = [measure for measure in group.measures if measure.family == family]
            cost = f"{costs[function]:.1f}" if function in costs else "–"
            rows += [_described(measure) | {"passes": cost} for measure in members]
            if members:
                notes.append(f"- `{function}`: {' '.join((group.function.__doc__ or '').split())}")
        parts += [f"## {family.capitalize()}", markdown(pd.DataFrame(rows)), "\n".join(notes)]
    return "\n\n".join(parts)


def _described(measure: Measure) -> dict[str, str]:
    sign = "negated" if measure.negated else "as it is"
    return {
        "measure": measure.label,
        "name": f"`{measure.name}`",
        "formula": measure.formula,
        "unit": measure.unit,
        "source": measure.source,
        "sign": sign,
    }
