"""All claims against every profile that has results: what the first notebook talks to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from prunability.claims import NEIGHBOURS, Case, Finding, decisive, judged, of_study
from prunability.claims.reproduction import reproduction, words
from prunability.claims.sensitivity import sensitivity
from prunability.claims.words import plain, told
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.progress import progress
from prunability.records.runner import survey
from prunability.records.sources import gather, of_table
from prunability.records.tables import find
from prunability.report.figures.style import Drawn
from prunability.report.session import Parameters, Session, open_session, saved
from prunability.studies import STUDIES, fits, having, profiles


@dataclass(frozen=True)
class Evidence:
    """What one profile of a study says: its session, the compared runs of its main grid, what they come to."""

    session: Session
    case: Case
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Overview:
    """The evidence of all profiles, the one that was asked for first; what tables of others cannot be read.

    ``neighbours`` is what there is on the claims that are none of the abstract's: they stand apart.
    """

    parameters: Parameters
    evidence: tuple[Evidence, ...]
    unreadable: tuple[str, ...] = ()
    neighbours: tuple[Evidence, ...] = ()

    def verdicts(self, *, neighbours: bool = False) -> pd.DataFrame:
        """A row for each claim of the abstract, or of neighbours, and profile, with the condition that decides it.

        The columns are claim, profile, data, version, n, verdict, statistic, estimate, wanted, undecided and told,
        the numbers that stand wherever the verdict does.
        """
        rows = []
        for found in self.neighbours if neighbours else self.evidence:
            study = found.session.study
            for finding in found.findings:
                condition = decisive(finding.criteria)
                words = (condition.statistic, condition.words, condition.wanted) if condition else ("", "", "")
                where = (study.profile, study.data.title, found.session.gathered.version)
                said = finding.undecided, told(found.case, finding)
                rows.append((finding.claim, *where, finding.n, finding.verdict, *words, *said))
        heads = ["claim", "profile", "data", "version", "n", "verdict", "statistic", "estimate", "wanted"]
        table = pd.DataFrame(rows, columns=[*heads, "undecided", "told"])
        return table.sort_values("claim", kind="stable", ignore_index=True)

    def sensitivity(self) -> pd.DataFrame:
        """The verdicts with one thing varied at a time: profile, claim, varied, setting, value, verdict."""
        parts = []
        for found in self.evidence:
            study = found.session.study
            title = f"{study.name}, {study.profile}: verdicts with one thing varied"
            parts.append(sensitivity(study.name, found.case, title).assign(profile=study.profile))
        return pd.concat(parts, ignore_index=True)

    def before_revision(self) -> pd.DataFrame:
        """The verdicts as published before the rules were corrected; none where that table is not here."""
        path = self.evidence[0].session.execution.results / "verdicts_before_revision.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["claim", "profile", "verdict"])

    def reproduction(self) -> str:
        """How one's own runs compare with the published ones, in Markdown."""
        parts = []
        for session in (found.session for found in self.evidence if found.session.chosen.table is None):
            study = session.study
            table = find(session.execution.results, study.name, study.profile)
            if table is not None:
                try:
                    parts.append(words(reproduction(study, session.records, table, self.parameters.seed), False))
                except PrunabilityError as error:
                    parts.append(f"{plain(str(error))}.")
        if parts:
            return "\n\n".join(parts)
        own = self.parameters.origin == "own"
        return (
            "Nothing is published to compare with." if own else "The runs shown are the published ones themselves."
        )

    def save(self, figure: Figure, name: str, numbers: pd.DataFrame) -> Drawn:
        """Save a figure with its numbers and provenance; the data of each profile and n stand below it."""
        groups: dict[str, list[str]] = {}
        for found in self.evidence:
            study = found.session.study
            what = f"{study.profile}: {study.data.title}{found.session.made_by}"
            groups.setdefault(what, []).append(f"{len(found.case.table)} ({study.name})")
        note = "; ".join(f"{what}, n = {' and '.join(n)}" for what, n in groups.items())
        return saved(figure, name, numbers, [found.session for found in self.evidence], note)


def open_overview(**values: Any) -> Overview:
    """The profile asked for, its runs gathered as the other notebooks do, and every published table of another.

    Raises:
        PrunabilityError: a parameter is wrong, or runs are missing that cannot be made here.
    """
    own = having(values.get("profile", Parameters().profile), judged())
    sessions = [open_session(study, **values) for study in own]
    for session in sessions:
        session.complete()
    parameters = sessions[0].parameters
    others = dict.fromkeys(name for known in STUDIES.values() for name in known if name != parameters.profile)
    apart = [found for study in judged(NEIGHBOURS) if (found := _neighbour(sessions[0], study, values))]
    unreadable = []
    for profile in others:
        for study in (*judged(), *judged(NEIGHBOURS)):
            try:
                found = _published(sessions[0], study, profile)
            except PrunabilityError as error:
                unreadable.append(str(error))
            else:
                (apart if study in judged(NEIGHBOURS) else sessions).extend([found] if found else [])
    evidence = list[Evidence]()
    with progress(len(sessions) + len(apart), "judging the claims, study by study") as tick:
        for session in (*sessions, *apart):
            evidence.append(_evidence(session, parameters.seed))
            tick(f"{session.study.name}, {session.study.profile}")
    split = len(sessions)
    return Overview(parameters, tuple(evidence[:split]), tuple(unreadable), tuple(evidence[split:]))


def _neighbour(like: Session, study: str, values: dict[str, Any]) -> Session | None:
    """A study of neighbours at the profile asked for: nothing is made for it, so None where a run is missing."""
    profile = like.parameters.profile
    if profile not in profiles(study) or like.parameters.origin == "published":
        return _published(like, study, profile)
    if not fits(study, profile, like.parameters.data):
        return None
    session = open_session(study, **values)
    if survey(session.study, session.execution).missing:
        return None
    session.complete()
    return session


def _published(like: Session, study: str, profile: str) -> Session | None:
    """The session of another profile, on its published table alone; None where there is none."""
    table = find(like.execution.results, study, profile) if profile in profiles(study) else None
    if table is None:
        return None
    parameters = like.parameters.model_copy(update={"profile": profile, "seed": table.origin.seed})
    session = Session(of_table(table), parameters, like.execution)
    session.gathered = gather(session.chosen, like.execution)
    return session


def _evidence(session: Session, seed: int) -> Evidence:
    study = session.study
    claims = of_study(study.name) or of_study(study.name, NEIGHBOURS)
    case = claims[0].case(study, session.records, seed)
    return Evidence(session, case, tuple(claim.judge(case) for claim in claims))


def of_claim(overview: Overview, key: str) -> Sequence[tuple[Evidence, Finding]]:
    """What each profile says of a claim."""
    return [(found, finding) for found in overview.evidence for finding in found.findings if finding.claim == key]
