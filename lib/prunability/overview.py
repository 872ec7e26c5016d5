"""All claims against every profile that has results: what the first notebook talks to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from prunability import style
from prunability.claims import Claim, decisive
from prunability.gathering import Gathered, of_table
from prunability.published import find, source_checksum
from prunability.sensitivity import judged, sensitivity
from prunability.session import Parameters, Session, open_session
from prunability.studies import STUDIES, having, profiles


@dataclass(frozen=True)
class Evidence:
    """What one profile of a study says: its session, the compared runs of its main grid, its claims."""

    session: Session
    table: pd.DataFrame
    claims: tuple[Claim, ...]

    @property
    def what(self) -> str:
        """Networks and data, in words."""
        study = self.session.study
        kind = "networks of one family" if study.name == "correlation" else "networks of growing width"
        return f"{kind} on {study.data.title} (profile {study.profile})"


@dataclass(frozen=True)
class Overview:
    """The evidence of all profiles, the one that was asked for first."""

    parameters: Parameters
    evidence: tuple[Evidence, ...]

    def verdicts(self) -> pd.DataFrame:
        """A row for each claim and profile, with the condition that decides it.

        The columns are claim, profile, data, n, verdict, statistic, estimate and wanted.
        """
        rows = []
        for found in self.evidence:
            study = found.session.study
            for claim in found.claims:
                condition = decisive(claim)
                words = (condition.statistic, condition.words, condition.wanted) if condition else ("", "", "")
                rows.append((claim.id, study.profile, study.data.title, claim.n, claim.verdict, *words))
        heads = ["claim", "profile", "data", "n", "verdict", "statistic", "estimate", "wanted"]
        table = pd.DataFrame(rows, columns=heads)
        return table.sort_values("claim", kind="stable", ignore_index=True)

    def sensitivity(self) -> pd.DataFrame:
        """The verdicts with one thing varied at a time: profile, claim, varied, setting, verdict."""
        parts = [
            sensitivity(found.session.study, found.table, self.parameters.seed).assign(
                profile=found.session.study.profile
            )
            for found in self.evidence
        ]
        return pd.concat(parts, ignore_index=True)

    def provenance(self) -> dict[str, Any]:
        """What the figures were made from."""
        parts = [found.session.provenance() for found in self.evidence]
        own = ("source", "versions")
        return {
            "source": source_checksum(),
            "versions": parts[0]["versions"],
            "parts": [{key: value for key, value in part.items() if key not in own} for part in parts],
        }

    def save(self, figure: Figure, name: str, numbers: pd.DataFrame) -> Figure:
        """Save a figure with its numbers and provenance; the data of each profile and n stand below it."""
        groups: dict[tuple[str, str], list[str]] = {}
        for found in self.evidence:
            study = found.session.study
            groups.setdefault((study.profile, study.data.title), []).append(f"{len(found.table)} ({study.name})")
        note = "; ".join(f"{profile}: {title}, n = {' and '.join(n)}" for (profile, title), n in groups.items())
        return style.save(figure, name, self.parameters.figures_folder, numbers, self.provenance(), note)


def open_overview(**values: Any) -> Overview:
    """The profile asked for, its runs gathered as the other notebooks do, and every published table of another.

    Raises:
        PrunabilityError: a parameter is wrong, or runs are missing that cannot be made here.
    """
    own = having(values.get("profile", Parameters().profile))
    sessions = [open_session(study, **values) for study in own]
    for session in sessions:
        session.complete()
    parameters = sessions[0].parameters
    others = dict.fromkeys(name for known in STUDIES.values() for name in known if name != parameters.profile)
    for profile in others:
        sessions += [found for study in STUDIES if (found := _published(sessions[0], study, profile))]
    return Overview(parameters, tuple(_evidence(session, parameters.seed) for session in sessions))


def _published(like: Session, study: str, profile: str) -> Session | None:
    """The session of another profile, on its published table alone; None where there is none."""
    table = find(like.execution.results, study, profile) if profile in profiles(study) else None
    if table is None:
        return None
    opened = of_table(table, table.origin.seed)
    records = [opened.published[run.hash] for run in opened.runs if run.hash in opened.published]
    if not records:  # the profile or the measures have changed since
        return None
    missing = len(opened.runs) - len(records)
    gathered = Gathered(records, opened.data.title, {"published table": len(records)}, missing)
    parameters = like.parameters.model_copy(update={"profile": profile, "seed": table.origin.seed})
    return Session(opened, parameters, like.execution, gathered)


def _evidence(session: Session, seed: int) -> Evidence:
    table = session.main()
    return Evidence(session, table, tuple(judged(session.study, table, seed)))


def of_claim(overview: Overview, key: str) -> Sequence[tuple[Evidence, Claim]]:
    """What each profile says of a claim."""
    return [(found, claim) for found in overview.evidence for claim in found.claims if claim.id == key]
