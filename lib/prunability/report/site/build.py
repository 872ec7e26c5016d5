"""The site's sources, gathered in a folder, and Sphinx, which makes HTML of them and takes warnings for errors."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.foundation.files import writable, write
from prunability.report.figures.style import FURTHER
from prunability.report.site import front
from prunability.report.site.published import Published, published
from prunability.report.site.sheets import sheet

# Pages of the project's folder that are pages of the site too.
PAGES = ("CALIBRATION.md", "CHANGELOG.md", "CLUSTER.md", "CONTRIBUTING.md", "SCALE.md")


# What a folder holds whose contents are the site's, to be made anew.
OURS = ".prunability-site"


def renew(readme: Path) -> None:
    """Write today's answer and verdicts into the README, where they are others, and the button to Binder."""
    text, root = readme.read_text(encoding="utf-8"), project_root()
    if (now := front.readme(text, published(root / "figures"), repository(root / "CITATION.cff"))) != text:
        write(readme, now)


def repository(citation: Path) -> str:
    """Where the project is to be had, as its citation says; empty where it does not."""
    found = re.search(r"^repository-code: *(\S+)\s*$", citation.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip("\"'") if found else ""


def draw(workers: int = 0) -> None:
    """Draw the figures of the published profiles as PDF and SVG too, where they are not."""
    for profile in published(project_root() / "figures"):
        if not profile.printable:
            from prunability.report import notebooks  # noqa: PLC0415  (needs Jupyter)

            values = {"profile": profile.profile, "runs_from": "published", "formats": ",".join(FURTHER)}
            notebooks.execute(notebooks.sources([], profile.profile), values, workers)


def sources(target: Path) -> None:
    """Write what Sphinx reads: the written pages of ``docs/``, and those made from what is published."""
    root = project_root()
    profiles = published(root / "figures")
    shutil.copytree(root / "docs", target, dirs_exist_ok=True)
    for profile in profiles:
        _of_profile(profile, target / "results" / profile.profile)
    write(target / "results" / "index.md", "# Results\n\n" + "\n".join(map(_listing, profiles)))
    write(target / "gallery.md", front.gallery(profiles))
    measures = (root / "MEASURES.md").read_text(encoding="utf-8")
    write(target / "measures.md", front.measures(measures))
    readme = (root / "README.md").read_text(encoding="utf-8")
    for name, heading in (("own-network", "Your own network"), ("own-images", "Your own images")):
        write(target / f"{name}.md", section(readme, heading))
    for name in PAGES:
        text = (root / name).read_text(encoding="utf-8")
        for other in PAGES:
            text = text.replace(f"]({other})", f"]({other.lower()})")
        write(target / name.lower(), text)
    index = (target / "index.md").read_text(encoding="utf-8")
    made = {"answer": front.answer(profiles), "verdicts": front.verdicts(profiles)}
    for name, text in made.items():
        index = index.replace(f"<!-- {name} -->", text)
    write(target / "index.md", index)


def section(text: str, heading: str) -> str:
    """A section of a text in Markdown as a page of its own."""
    return f"# {heading}\n" + text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _of_profile(profile: Published, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for notebook in profile.notebooks:
        write(target / f"{notebook}.md", sheet(profile, notebook))
        for figure in profile.manifest[notebook]["figures"]:
            for path in profile.files(figure):
                shutil.copy(path, target / path.name)


def _listing(profile: Published) -> str:
    """The notebooks of a profile, under the names of their files without their numbers."""
    entries = [
        f"{profile.profile}: {name.split('_', 1)[1].replace('_', ' ')} <{profile.profile}/{name}>"
        for name in profile.notebooks
    ]
    return f"```{{toctree}}\n:caption: Profile {profile.profile}\n\n" + "\n".join(entries) + "\n```\n"


def build(target: Path) -> Path:
    """Make the site below a folder; returns its first page.

    Raises:
        PrunabilityError: Sphinx is not installed, the folder holds what is not the site's, nothing is published, or
            Sphinx warned of something.
    """
    if find_spec("sphinx") is None:
        raise PrunabilityError("the site needs Sphinx: pip install 'prunability[docs]'")
    if target.exists() and not (target / OURS).exists() and (not target.is_dir() or any(target.iterdir())):
        raise PrunabilityError(f"site: {target} holds other things, which are left as they are; name a new folder")
    writable(target, "site")
    write(target / OURS, "")
    source, html = target / "source", target / "html"
    for folder in (source, html):
        shutil.rmtree(folder, ignore_errors=True)
    sources(source)
    # In a process of its own, whose settings and warnings are its own too.
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(target / "trees")]
    if subprocess.run([sys.executable, "-m", "sphinx", *options, source, html], check=False).returncode:  # noqa: S603
        raise PrunabilityError("Sphinx warned of what stands above: the site is not whole")
    for path in (profile for profile in (source / "results").glob("*/*") if profile.suffix != ".md"):
        shutil.copy(path, html / path.relative_to(source))
    return html / "index.html"
