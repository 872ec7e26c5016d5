"""What a notebook talks to: validated parameters, the study's runs, and where figures go."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prunability import claims as claims_module
from prunability import style
from prunability.claims import Claim
from prunability.config import Execution, PrunabilityError, explain, writable
from prunability.data import prepare
from prunability.example import Example, curves, tolerance_curves
from prunability.measures import HEADLINE_MEASURE, TrainedRun
from prunability.runner import complete
from prunability.store import Record, RunStore, checksum_of
from prunability.studies import Study, find_profile, open_study
from prunability.tables import compared, left_out, runs_table
from prunability.training import DTYPES, one_thread

PACKAGE = Path(__file__).parent
LIBRARIES = ("matplotlib", "numpy", "pandas", "scikit-learn", "torch")


def project_root() -> Path:
    """The folder that holds `runs`, `data` and `figures`: the project's, or the current one outside it."""
    root = PACKAGE.parents[1]
    return root if (root / "pyproject.toml").exists() else Path.cwd()


class Parameters(BaseModel):
    """The parameters of every notebook; an empty string stands for the usual place or source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = "quick"
    data: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
    figures: str = ""
    runs: str = ""

    @property
    def figures_folder(self) -> Path:
        """Where figures go."""
        return Path(self.figures).expanduser() if self.figures else project_root() / "figures" / self.profile

    def execution(self, workers: int = 0) -> Execution:
        """How and where to compute.

        Raises:
            PrunabilityError: there is no such device.
        """
        runs = Path(self.runs).expanduser() if self.runs else project_root() / "runs"
        try:
            found = Execution(
                device=self.device,
                workers=workers,
                runs=runs.resolve(),
                data=project_root() / "data",
            )
        except ValidationError as error:
            raise PrunabilityError(explain(error)) from error
        _ = found.torch_device
        return found


def validate(study: str, values: dict[str, Any], *, strict: bool = True) -> Parameters:
    """Check parameters before any work starts.

    Args:
        study: the study whose profiles are allowed.
        values: the parameters by name.
        strict: whether a number must come as a number, not as text.

    Raises:
        PrunabilityError: a name, a type or a value is not allowed; the message lists what is.
    """
    if unknown := sorted(set(values) - set(Parameters.model_fields)):
        raise PrunabilityError(
            f"unknown parameter {', '.join(unknown)}: allowed are {', '.join(Parameters.model_fields)}"
        )
    try:
        parameters = Parameters.model_validate(values, strict=strict)
    except ValidationError as error:
        raise PrunabilityError(f"parameters: {explain(error)}") from error
    find_profile(study, parameters.profile)
    parameters.execution()
    return parameters


@dataclass
class Session:
    """A study at a profile, with the folder for its figures."""

    study: Study
    parameters: Parameters
    execution: Execution
    records: list[Record] = field(default_factory=list)

    def complete(self) -> pd.DataFrame:
        """Train and measure what is missing; returns the table of all runs."""
        self.records = complete(self.study, self.execution)
        table = runs_table(self.records)
        if (usable := len(compared(table))) < 2:
            raise PrunabilityError(
                f"only {usable} of {len(table)} runs converged ({left_out(table)}): nothing can be correlated. "
                "Use another profile, or data that these networks can learn"
            )
        return table

    @property
    def folder(self) -> Path:
        """Where the figures go."""
        return self.parameters.figures_folder

    def trained(self, run: str) -> TrainedRun:
        """The trained network of a run, by its hash."""
        record = next(record for record in self.records if record.config.hash == run)
        dtype = DTYPES[record.config.training.precision]
        dataset = prepare(self.study.images, record.config.data, self.execution.torch_device, dtype)
        initial, final = RunStore(self.execution.runs).load_weights(record)
        return TrainedRun(record.config, dataset, initial, final, record.result)

    def example(self, table: pd.DataFrame) -> Example:
        """The loss curves of the network whose prunability is the median of the converged ones."""
        ordered = compared(table).sort_values([HEADLINE_MEASURE, "run"])
        row = ordered.iloc[len(ordered) // 2]
        with one_thread():
            return curves(self.trained(str(row["run"])), row, self.study.hyperparameters)

    def tolerances(self, table: pd.DataFrame, runs: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The pruning curves of some networks, and where each tolerance meets them."""
        networks = {}
        for run in runs:
            row = table[table["run"] == run].iloc[0]
            networks[f"width {row['width']}, {row['parameter_count']:,.0f} parameters"] = (self.trained(run), row)
        with one_thread():
            return tolerance_curves(networks)

    def part(self, table: pd.DataFrame, name: str = "grid") -> pd.DataFrame:
        """The rows of a table of runs that belong to one of the study's grids."""
        return table[table["run"].isin(self.study.parts[name])].reset_index(drop=True)

    def provenance(self) -> dict[str, Any]:
        """What a figure was made from: code, configuration, records, versions. No time and no place."""
        table = runs_table(self.records)
        return {
            "source": source_checksum(),
            "study": {
                "name": self.study.name, "profile": self.study.profile, "hash": self.study.hash,
                "seed": self.parameters.seed,
            },
            "data": {"title": self.study.images.title, "checksum": self.study.images.checksum},
            "records": checksum_of(self.records),
            "runs_used": len(compared(table)),
            "runs_left_out": left_out(table),
            "devices": sorted({record.environment["device"] for record in self.records}),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        }  # fmt: skip

    def save(self, figure: Figure, name: str, numbers: pd.DataFrame, subject: str = "") -> Figure:
        """Save a figure with its numbers and provenance, and hand it back to be shown.

        ``subject`` says what is drawn where that is not all networks.
        """
        return style.save(figure, name, self.folder, numbers, self.provenance(), subject)

    def conclude(self, claims: Sequence[Claim]) -> pd.DataFrame:
        """Write ``claims.json`` and return the table of criteria."""
        claims_module.save(claims, self.folder, self.provenance())
        return claims_module.table_of(claims)


def open_session(study: str, **values: Any) -> Session:
    """Validate a notebook's parameters and open its study.

    Raises:
        PrunabilityError: a parameter is wrong or the data cannot be had; nothing has been trained.
    """
    parameters = validate(study, values)
    execution = parameters.execution()
    writable(parameters.figures_folder, "figures")
    opened = open_study(study, parameters.profile, parameters.data, parameters.seed, execution.data)
    return Session(opened, parameters, execution)


def source_checksum() -> str:
    """SHA-256 over the library's Python files."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        total.update(path.relative_to(PACKAGE).as_posix().encode())
        total.update(path.read_bytes())
    return total.hexdigest()
