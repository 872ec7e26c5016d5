"""Pages that gather: the verdicts of all profiles, every figure, every measure."""

from collections.abc import Sequence
from html import escape

from prunability.claims import CLAIMS
from prunability.measures import REGISTRY
from prunability.report.figures.overview import LOOKS
from prunability.report.site.published import VERDICTS, Published
from prunability.report.site.sheets import anchor


def answer(profiles: Sequence[Published]) -> str:
    """The answer in one sentence, from the verdicts."""
    parts = []
    for profile in profiles:
        found = [finding["verdict"] for finding in profile.claims.values()]
        counts = [f"{found.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in found]
        parts.append(f"on {_images(profile)} (`{profile.profile}`), {', '.join(counts)}")
    return f"Of the abstract's {len(CLAIMS)} claims are, " + "; ".join(parts) + "."


def _images(profile: Published) -> str:
    return profile.images(profile.notebooks[0])[0]


def verdicts(profiles: Sequence[Published]) -> str:
    """A table in HTML: a row a claim, a column a profile, each verdict a link to the page that decides it."""
    heads = "".join(f"<th scope='col'>{profile.profile}<br>{escape(_images(profile))}</th>" for profile in profiles)
    rows = []
    for key, claim in CLAIMS.items():
        cells = ""
        for profile in profiles:
            finding = profile.claims.get(key)
            if finding is None:
                cells += "<td>–</td>"
                continue
            page = next((name for name in profile.notebooks if key in profile.decided(name)), profile.notebooks[0])
            colour, mark = LOOKS[finding["verdict"]]
            cells += (
                f"<td style='background: {colour}'><a href='results/{profile.profile}/{page}.html'>"
                f"{mark} {finding['verdict']}</a><br>n = {finding['n']}</td>"
            )
        rows.append(f"<tr><th scope='row'>{key}: {escape(claim.words.rstrip('.'))}</th>{cells}</tr>")
    body = "\n".join(rows)
    return (
        f"<table class='verdicts'>\n<thead><tr><th scope='col'>claim</th>{heads}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def gallery(profiles: Sequence[Published]) -> str:
    """Every figure with its text alternative, its files, and the command that draws it."""
    parts = ["# Gallery\n"]
    for profile in profiles:
        parts.append(f"## Profile {profile.profile}\n")
        for notebook in profile.notebooks:
            figures = profile.manifest[notebook]["figures"]
            if not figures:
                continue
            parts.append(f"### [{notebook}](results/{profile.profile}/{notebook}.md)\n")
            parts.append(
                f"Drawn by `make figures PROFILE={profile.profile} FROM=published NOTEBOOK={notebook} "
                "FORMATS=pdf,svg`.\n"
            )
            for name, entry in figures.items():
                folder = f"results/{profile.profile}"
                alt = entry["alt"].replace("[", "(").replace("]", ")")
                files = " · ".join(
                    f"<a href='{folder}/{path.name}'>{path.suffix[1:].upper()}</a>" for path in profile.files(name)
                )
                parts.append(f"![{alt}]({folder}/{name}.png)\n\n*{entry['caption']}.* {files}\n")
    return "\n".join(parts)


def measures(page: str) -> str:
    """The page of measures, each entry a target for links."""
    for function, group in REGISTRY.items():
        targets = "\n".join(f"({anchor(measure.name)})=" for measure in group.measures)
        page = page.replace(f"\n- `{function}`: ", f"\n\n{targets}\n**{function}**: ", 1)
    return page
