"""What ``figures/<profile>/`` holds, as the site needs it."""

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from prunability.foundation.errors import PrunabilityError
from prunability.report.figures.style import FURTHER
from prunability.studies import STUDIES


@dataclass(frozen=True)
class Published:
    """The executed notebooks of a profile: its folder, its manifest and its verdicts."""

    folder: Path
    manifest: dict[str, Any]
    claims: dict[str, Any]

    @property
    def profile(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def notebooks(self) -> list[str]:
        """The names of the notebooks that have a page, in order."""
        return sorted(self.manifest)

    def images(self, notebook: str) -> list[str]:
        """The titles of the data sets that a notebook shows."""
        return list(dict.fromkeys(run["data"]["title"] for run in self.manifest[notebook]["runs"]))

    def studies(self, notebook: str) -> list[str]:
        """How many networks of which study of this profile a notebook shows, in words."""
        return [
            f"{run['runs_used']} networks of the study {run['study']['name']} on {run['data']['title']}"
            for run in self.manifest[notebook]["runs"]
            if run["study"]["profile"] == self.profile
        ]

    def decided(self, notebook: str) -> list[str]:
        """The claims that a notebook decides: those whose verdict its page states."""
        text = (self.folder / f"{notebook}.md").read_text(encoding="utf-8")
        return [claim for claim in sorted(self.claims) if f"**{claim}: " in text]

    @property
    def printable(self) -> bool:
        """Whether each figure is there as PDF and SVG too."""
        names = [name for section in self.manifest.values() for name in section["figures"]]
        return all(len(self.files(name)) == 2 + len(FURTHER) for name in names)

    def files(self, figure: str) -> list[Path]:
        """A figure's files, the picture first."""
        return [
            path for ending in ("png", *FURTHER, "csv") if (path := self.folder / f"{figure}.{ending}").exists()
        ]


def published(figures: Path) -> list[Published]:
    """The profiles whose notebooks were executed and published below a folder, in the order of the studies.

    Raises:
        PrunabilityError: there is none, or a file of one is missing or damaged.
    """
    found = []
    for manifest in sorted(figures.glob("*/manifest.json")):
        files = (manifest, manifest.with_name("claims.json"))
        try:
            sections, claims = (json.loads(path.read_text(encoding="utf-8")) for path in files)
            found.append(Published(manifest.parent, sections, claims))
        except (OSError, ValueError) as error:
            raise PrunabilityError(f"{manifest.parent}: {error}; draw it anew with FROM=published") from error
    if not found:
        raise PrunabilityError(f"{figures}: no notebook was executed yet; `make figures FROM=published` does so")
    order = list(dict.fromkeys(chain.from_iterable(STUDIES.values())))
    return sorted(found, key=lambda one: order.index(one.profile) if one.profile in order else len(order))
