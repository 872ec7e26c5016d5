"""What a notebook talks to: validated parameters, the study's runs, and where figures go."""

import ast
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

import prunability
from prunability.analysis.tables import compared, left_out, runs_table
from prunability.claims import Case, Finding, case_of
from prunability.claims import words as claims_words
from prunability.foundation.errors import Interrupted, PrunabilityError, explain
from prunability.foundation.execution import Execution, project_root
from prunability.foundation.files import expanded, writable
from prunability.records.record import Record, checksum_of
from prunability.records.sources import Chosen, From, Gathered, choose, gather, origin_of
from prunability.records.tables import table_path
from prunability.records.workers import processor_of
from prunability.report.curves import Curves
from prunability.report.figures import style
from prunability.studies import Study, find_profile
from prunability.training.config import VERSION

# In the environment of the kernels in which notebooks are driven. Whoever opens one themselves draws beside.
PUBLISHING = "PRUNABILITY_PUBLISHING"
# What numbers and pictures are made with.
LIBRARIES = ("adjustText", "matplotlib", "numpy", "pandas", "pillow", "scikit-learn", "scipy", "seaborn", "torch")


def _formats(text: str) -> str:
    names = [name.strip() for name in text.split(",")]
    if unknown := set(filter(None, names)) - set(style.FURTHER):
        raise ValueError(
            f"{', '.join(sorted(unknown))} is none of {', '.join(style.FURTHER)}; name several as pdf,svg"
        )
    return ",".join(names)


class Parameters(BaseModel):
    """The parameters of every notebook; an empty string stands for the usual place or source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = "quick"
    data: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
    figures: str = ""
    runs: str = ""
    runs_from: str = ""
    formats: Annotated[str, AfterValidator(_formats)] = ""

    @property
    def origin(self) -> From:
        """Whether one's own runs are shown or the published ones."""
        return origin_of(self.profile, self.runs_from, self.data, project_root() / "results")

    @property
    def folder(self) -> Path:
        """Where figures go: those of published runs to where git keeps them, in a kernel driven by the project."""
        return self.place(publishing=PUBLISHING in os.environ)

    def place(self, *, publishing: bool) -> Path:
        """The same, where it is said whether published runs' figures are to be published too."""
        if self.figures:
            return expanded(self.figures, "figures")
        figures = project_root() / "figures"
        return figures / ("" if publishing and self.origin == "published" else "own") / self.profile

    def execution(self, workers: int = 0) -> Execution:
        """How and where to compute.

        Raises:
            PrunabilityError: there is no such device.
        """
        runs = expanded(self.runs, "runs") if self.runs else project_root() / "runs"
        try:
            found = Execution(
                device=self.device,
                workers=workers,
                runs=runs.resolve(),
                data=project_root() / "data",
                results=project_root() / "results",
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
    _ = parameters.folder, parameters.origin
    return parameters


@dataclass
class Session:
    """A study at a profile, with the folder for its figures."""

    chosen: Chosen
    parameters: Parameters
    execution: Execution
    gathered: Gathered = field(default_factory=lambda: Gathered([], "", "run store", 0))

    @property
    def study(self) -> Study:
        """The study."""
        return self.chosen.study

    @property
    def records(self) -> list[Record]:
        """The finished runs."""
        return self.gathered.records

    def complete(self) -> pd.DataFrame:
        """Take the runs from store and published table and make what is missing; returns the table of all.

        Prints where they come from.
        """
        try:
            self.gathered = gather(self.chosen, self.execution)
        except KeyboardInterrupt as error:
            raise Interrupted from error
        print(self.gathered.words)
        table = runs_table(self.records)
        if (usable := len(compared(table))) < 2:
            raise PrunabilityError(
                f"only {usable} of {len(table)} runs converged ({left_out(table)}): nothing can be correlated. "
                "Use another profile, or data that these networks can learn"
            )
        return table

    @property
    def made_by(self) -> str:
        """For captions: the version of the protocol that the runs were made by, where it is an earlier one."""
        version = self.gathered.version
        return "" if version == VERSION else f" (made by version {version} of the protocol)"

    @property
    def curves(self) -> Curves:
        """The loss curves of the finished runs."""
        return Curves(self.study, self.records, self.execution)

    def main(self) -> pd.DataFrame:
        """The compared runs of the study's main grid."""
        return self.part(compared(runs_table(self.records)))

    def part(self, table: pd.DataFrame, name: str = "grid") -> pd.DataFrame:
        """The rows of a table of runs that belong to one of the study's grids."""
        return table[table["run"].isin(self.study.parts[name])].reset_index(drop=True)

    def case(self) -> Case:
        """What the study's claims are put to."""
        return case_of(self.study, self.main(), self.parameters.seed)

    def provenance(self) -> dict[str, Any]:
        """Which runs are shown: configuration, images, records. No time, no place, no code of this library."""
        table = runs_table(self.records)
        shown, results = self.chosen.table, self.execution.results
        file = table_path(results, self.study.name, self.study.profile) if shown else None
        return {
            "study": {
                "name": self.study.name,
                "profile": self.study.profile,
                "hash": self.study.hash,
                "seed": self.parameters.seed,
            },
            "data": {"title": self.study.data.title, "checksum": self.study.data.checksum},
            "records": checksum_of(self.records),
            "table": sha256(file.read_bytes()).hexdigest() if file else None,
            "made_by_version": self.gathered.version,
            "runs_used": len(compared(table)),
            "runs_left_out": left_out(table),
            "runs_missing": self.gathered.missing,
            "processors": sorted({processor_of(record) for record in self.records}),
        }

    def save(
        self,
        figure: Figure,
        name: str,
        numbers: pd.DataFrame,
        subject: str | Sequence[str] = "",
        others: Sequence["Session"] = (),
    ) -> style.Drawn:
        """Save a figure with its numbers and provenance, and hand it back to be shown.

        Below it stand data, profile, n, and what was left out and why; ``subject`` says what is drawn where that
        is not all networks, ``others`` which further studies are drawn too, then with a subject for each.
        """
        sessions = [self, *others]
        subjects = [subject] if isinstance(subject, str) else subject
        note = "; ".join(session._note(own) for session, own in zip(sessions, subjects, strict=True))
        return saved(figure, name, numbers, sessions, note)

    def _note(self, subject: str) -> str:
        made = self.provenance()
        reasons = {**made["runs_left_out"]} | ({"not run": n} if (n := made["runs_missing"]) else {})
        left = "; ".join(f"{number} {reason}" for reason, number in reasons.items())
        what = f"{self.study.data.title}, profile {self.study.profile}{self.made_by}"
        return f"{what}, {subject}n = {made['runs_used']} networks, left out: {left or 'none'}"

    def conclude(self, findings: Sequence[Finding]) -> pd.DataFrame:
        """Write ``claims.json`` and return the table of criteria."""
        claims_words.save(findings, self.parameters.folder)
        return claims_words.table_of(findings)


def saved(figure: Figure, name: str, numbers: pd.DataFrame, sessions: Sequence[Session], note: str) -> style.Drawn:
    """Save a figure drawn from the runs of some sessions, where and as the parameters of the first say."""
    versions = {
        "prunability": prunability.__version__,
        "protocol": VERSION,
        # Without its last part, which moves no number.
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    versions |= {library: version(library) for library in LIBRARIES}
    made = {"versions": versions, "runs": [session.provenance() for session in sessions]}
    parameters = sessions[0].parameters
    return style.save(figure, name, parameters.folder, numbers, made, note, parameters.formats.split(","))


def open_session(study: str, **values: Any) -> Session:
    """Validate a notebook's parameters and open its study.

    Raises:
        PrunabilityError: a parameter is wrong or the data cannot be had; nothing has been trained.
    """
    parameters = validate(study, _injected() | values)
    execution = parameters.execution()
    opened = choose(study, parameters.profile, parameters.data, parameters.seed, parameters.origin, execution)
    writable(parameters.folder, "figures")
    return Session(opened, parameters, execution)


def _injected() -> dict[str, Any]:
    """What papermill has set in this kernel, by name: of a parameter that no notebook has it only warns."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    if shell is None:
        return {}
    cells = shell.user_ns.get("In", [])
    lines = [line for cell in cells if cell.startswith("# Parameters\n") for line in ast.parse(cell).body]
    targets = [target for line in lines if isinstance(line, ast.Assign) for target in line.targets]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return {name: shell.user_ns[name] for name in names if name in shell.user_ns}
