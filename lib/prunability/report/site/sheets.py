"""An executed notebook as a page of the site: a summary on top, code folded, labels of measures linked."""

import re
from collections.abc import Callable, Mapping

from prunability.claims import CLAIMS, STATED
from prunability.measures import all_measures
from prunability.report.site.published import Published

FOLDED = '<details class="code"><summary>Code</summary>\n\n{}\n\n</details>'


def sheet(profile: Published, notebook: str) -> str:
    """The page of a notebook, in MyST Markdown."""
    text = (profile.folder / f"{notebook}.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    body = _outside_code(rest, linked)
    body = re.sub(r"(?ms)^```python\n.*?^```$", lambda code: FOLDED.format(code.group()), body)
    return f"{title} ({profile.profile})\n\n{summary(profile, notebook)}\n{body}"


def summary(profile: Published, notebook: str) -> str:
    """At most five lines: on which networks, and what they say of each claim that the notebook decides."""
    lines = [f"- Profile `{profile.profile}`: {'; '.join(profile.studies(notebook))}."]
    for key in profile.decided(notebook):
        finding = profile.claims[key]
        lines.append(f"- {key}, *{STATED[key].words.rstrip('.')}*: **{finding['verdict']}**{_why(finding)}.")
    if len(lines) == 1:
        counts: dict[str, list[str]] = {}
        for key in (key for key in CLAIMS if key in profile.claims):
            counts.setdefault(profile.claims[key]["verdict"], []).append(key)
        lines += [f"- **{verdict}**: {', '.join(keys)}." for verdict, keys in counts.items()]
    return ":::{admonition} In short\n" + "\n".join(lines) + "\n:::\n"


def _why(finding: Mapping[str, object]) -> str:
    return f" ({finding['undecided']})" if finding["undecided"] else f", on {finding['n']} networks"


def linked(text: str) -> str:
    """Labels of measures in the rows of tables, linked to their entries."""
    names = {measure.label: name for name, measure in all_measures().items()}
    longest_first = sorted(names, key=len, reverse=True)
    label = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)")
    return re.sub(
        r"(?m)^\|.*$", lambda row: label.sub(lambda m: f"[{m[1]}](#{anchor(names[m[1]])})", row.group()), text
    )


def anchor(name: str) -> str:
    """The name of a measure as the target of a link."""
    return f"measure-{name.replace('_', '-').replace('.', '-')}"


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Text with its parts outside of fenced code changed."""
    parts = re.split(r"(?ms)(^```.*?^```$)", text)
    return "".join(part if part.startswith("```") else change(part) for part in parts)
