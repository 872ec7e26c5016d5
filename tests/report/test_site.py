"""The site: made of what is committed, without a warning; every link leads somewhere, every picture has a text."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import BROWSER, QUIET

from prunability.claims import CLAIMS, NEIGHBOURS
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.measures import all_measures
from prunability.records.tables import table_path
from prunability.report.site import build, front
from prunability.report.site.published import published
from prunability.report.site.sheets import anchor, linked, summary

PROFILES = published(project_root() / "figures")


class Page(HTMLParser):
    """What a page links to, shows, loads and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.targets: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.targets |= {values[name] or "" for name in ("id", "name") if name in values}
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if tag in ("script", "link", "img") and (source := values.get("src") or values.get("href")):
            self.loaded.append(source)
        if tag == "img":
            self.pictures.append(values)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sphinx takes each warning for an error."""
    return build.build(tmp_path_factory.mktemp("a site")).parent


@pytest.fixture(scope="module")
def pages(html: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in html.rglob("*.html")}


def local(pages: dict[Path, Page], part: str) -> Iterator[tuple[Path, Path, str]]:
    """(page, what it names, the place there) for links or what is loaded, those to elsewhere left out."""
    for path, page in pages.items():
        for link in getattr(page, part):
            split = urlsplit(link)
            if split.scheme or split.netloc:
                continue
            target = (path.parent / unquote(split.path)).resolve() if split.path else path
            yield path, target, unquote(split.fragment)


def test_no_link_is_dead(pages: dict[Path, Page]) -> None:
    known = {path.resolve(): page.targets for path, page in pages.items()}
    dead = [
        f"{path.name}: {target.name}#{place}"
        for path, target, place in local(pages, "links")
        if not target.exists() or (place and target in known and place not in known[target])
    ]
    assert not dead
    assert len(pages) > len(PROFILES) * 4


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert not [one for page in pages.values() for one in page.loaded if re.match(r"(https?:)?//", one)]
    assert all(target.exists() for _, target, _ in local(pages, "loaded"))


def test_every_picture_has_a_text(pages: dict[Path, Page]) -> None:
    pictures = [picture for page in pages.values() for picture in page.pictures]
    figures = sum(len(section["figures"]) for one in PROFILES for section in one.manifest.values())
    # Each once on its notebook's page and once in the gallery.
    assert len(pictures) == 2 * figures
    assert all(len(str(picture.get("alt") or "")) > 20 for picture in pictures)


def test_verdicts_are_those_of_the_published_runs(html: Path) -> None:
    index, results = (html / "index.html").read_text(encoding="utf-8"), project_root() / "results"
    for profile in PROFILES:
        claims = json.loads((profile.folder / "claims.json").read_text())
        tables = {key: table_path(results, claim.study, profile.profile) for key, claim in CLAIMS.items()}
        assert set(claims) - set(NEIGHBOURS) == {key for key, table in tables.items() if table.exists()}
        for key, finding in claims.items():
            (page,) = (name for name in profile.notebooks if key in profile.decided(name))
            link = f"<a href='results/{profile.profile}/{page}.html'>"
            assert re.search(rf"{link}\S+ {finding['verdict']}</a><br>n = {finding['n']}", index)
        found = [claims[key]["verdict"] for key in CLAIMS if key in claims]
        counted = (
            rf"`{profile.profile}`\) {found.count('supported')} of .* supported, {found.count('not supported')} "
        )
        assert re.search(counted, front.answer([profile]))


def test_verdicts_of_others_stand_in_a_table_of_their_own() -> None:
    six = replace(PROFILES[0], claims={key: PROFILES[0].claims[key] for key in CLAIMS})
    finding = {"verdict": "supported", "n": 6}
    seven = replace(six, claims={**six.claims, "S1": finding})
    first, second = front.verdicts([six, seven]).split("Claims of others")
    assert first.strip() == front.verdicts([six, six])
    assert "Claims of others" not in front.verdicts([six])
    assert re.findall(r"scope='row'>(\w+):", second) == list(NEIGHBOURS)
    assert second.count("supported</a><br>n = 6") == 1
    assert second.count("<td>–</td>") == len(NEIGHBOURS) - 1
    assert front.answer([seven]) == front.answer([six])
    assert front.readme("", [seven], "") == front.readme("", [six], "")


def test_a_page_begins_with_a_few_lines_of_summary() -> None:
    """At most five, or one more than the claims that it decides."""
    for profile in PROFILES:
        for notebook in profile.notebooks:
            lines = [line for line in summary(profile, notebook).splitlines() if line.startswith("- ")]
            assert 2 <= len(lines) <= max(5, 1 + len(profile.decided(notebook)))
            assert all(any(key in line for line in lines) for key in profile.decided(notebook))


def test_labels_of_measures_lead_to_their_entries(html: Path) -> None:
    entries = Page(html / "measures.html").targets
    for name, measure in all_measures().items():
        assert anchor(name) in entries
        row = f"| given {measure.label} | 0.1 |"
        assert linked(row) == f"| given [{measure.label}](#{anchor(name)}) | 0.1 |"
        assert linked(f"given {measure.label} alone") == f"given {measure.label} alone"


def test_code_is_folded_and_prose_is_not(html: Path) -> None:
    page = (html / "results" / "quick" / "01_correlation_study.html").read_text(encoding="utf-8")
    source = (project_root() / "figures" / "quick" / "01_correlation_study.md").read_text(encoding="utf-8")
    assert page.count('<details class="code">') == source.count("```python") > 5
    outside = re.sub(r"(?s)<details.*?</details>", "", page)
    assert "session.save" not in outside
    assert "What prunability is" in outside


def test_a_folder_of_somebody_elses_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "thesis.tex").write_text("years")
    with pytest.raises(PrunabilityError, match=r"holds other things.*name a new folder"):
        build.build(tmp_path)
    with pytest.raises(PrunabilityError, match="holds other things"):
        build.build(tmp_path / "source" / "thesis.tex")
    assert (tmp_path / "source" / "thesis.tex").read_text() == "years"


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrunabilityError, match="no notebook was executed yet"):
        published(tmp_path)
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "manifest.json").write_text("{")
    with pytest.raises(PrunabilityError, match="draw it anew"):
        published(tmp_path)
    monkeypatch.setattr(build, "find_spec", lambda _: None)
    with pytest.raises(PrunabilityError, match="the site needs Sphinx"):
        build.build(tmp_path)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_in_a_browser_no_error_and_no_sideways_scrolling(
    html: Path, pages: dict[Path, Page], tmp_path: Path
) -> None:
    """Each page stands in a frame of 390 pixels, and is asked how wide it is and how many formulas it has set."""
    frame = "<iframe id=f style='width:390px;height:800px;border:0' src='{}'></iframe>"
    ask = """<script>onload = () => setTimeout(() => {
        const page = f.contentDocument
        const formulas = page.querySelectorAll('mjx-container').length
        document.body.innerText = 'WIDTH ' + page.documentElement.scrollWidth + ' ' + formulas
    }, 3000)</script>"""
    options = [*QUIET, "--allow-file-access-from-files", f"--user-data-dir={tmp_path}", "--enable-logging=stderr"]
    for path in pages:
        if path.name in ("genindex.html", "search.html"):
            continue
        asking = path.with_name("asking.html")
        asking.write_text(frame.format(path.name) + ask)
        command = [str(BROWSER), *options, "--virtual-time-budget=8000", "--dump-dom", asking.as_uri()]
        told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        asking.unlink()
        found = re.search(r"WIDTH (\d+) (\d+)", told.stdout)
        assert found is not None, told.stdout
        assert int(found[1]) <= 390, path.name
        assert not [line for line in told.stderr.splitlines() if "CONSOLE" in line], path.name
        assert int(found[2]) > 3 or path.name != "method.html"


def test_the_readme_tells_todays_verdicts(tmp_path: Path) -> None:
    text = (project_root() / "README.md").read_text(encoding="utf-8")
    address = build.repository(project_root() / "CITATION.cff")
    assert front.readme(text, PROFILES, address) == text, "make site renews it"
    stale = tmp_path / "README.md"
    stale.write_text(text.replace("supported, n", "unheard of, n"), encoding="utf-8")
    build.renew(stale)
    assert stale.read_text(encoding="utf-8") == text
    for profile in PROFILES:
        assert f"figures/{profile.profile}/prunability_vs_test_loss.png" in text


@pytest.mark.parametrize("written", ["https://git.example/own/companion", '"https://git.example/own/companion"'])
def test_a_citation_with_an_address_gives_a_button(tmp_path: Path, written: str) -> None:
    citation, text = tmp_path / "CITATION.cff", (project_root() / "README.md").read_text(encoding="utf-8")
    citation.write_text(f"type: software\nrepository-code: {written}\n", encoding="utf-8")
    address = build.repository(citation)
    assert address == "https://git.example/own/companion"
    with_it = front.readme(text, PROFILES, address)
    (place,) = re.findall(r"\(https://mybinder.org/v2/git/([^/]+)/HEAD\?labpath=([^)]+)\)", with_it)
    assert [unquote(part) for part in place] == [address, "notebooks/explore.ipynb"]
    assert front.readme(with_it, PROFILES, "") == front.readme(text, PROFILES, "")
