"""What the benchmarks wrote is what the code says."""

import importlib.util
import json

from prunability.measures import REGISTRY
from prunability.session import project_root

ROOT = project_root()


def test_the_list_of_measures_is_that_of_the_code() -> None:
    specification = importlib.util.spec_from_file_location(
        "measures_benchmark", ROOT / "benchmarks" / "measures.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    results = json.loads((ROOT / "benchmarks" / "results" / "measures.json").read_text())
    assert (ROOT / "MEASURES.md").read_text() == module.measures_page(results["digits"])
    assert {row["function"] for row in results["digits"]["threads"]["1"]["measures"]} == set(REGISTRY)
