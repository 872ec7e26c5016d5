"""The list of measures."""

from prunability.measures import REGISTRY, all_measures
from prunability.report.text.measures import measure_list


def test_each_measure_once_with_its_cost() -> None:
    function = next(iter(REGISTRY))
    lines = measure_list({function: 12.34}).splitlines()
    for name, measure in all_measures().items():
        (row,) = [line for line in lines if f"`{name}` " in line and line.startswith("|")]
        assert measure.formula.replace("|", "\\|") in row
        assert ("negated" in row.split("|")[-3]) == measure.negated
        known = any(member.name == name for member in REGISTRY[function].measures)
        assert row.split("|")[-2].strip() == ("12.3" if known else "–")
    families = {measure.family for measure in all_measures().values()}
    assert [line for line in lines if line.startswith("## ")].__len__() == len(families)
    assert all(any(line.startswith(f"- `{name}`: ") for line in lines) for name in REGISTRY)
