"""Pages that gather: the verdicts of all profiles, every figure, every measure."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from prunability.claims import CLAIMS, NEIGHBOURS, Claim
from prunability.measures import REGISTRY
from prunability.report.figures.overview import LOOKS
from prunability.report.site.published import Published
from prunability.report.site.sheets import anchor

# Between these the README is written by code.
BEGIN, END = "<!-- verdicts: written by `make site` -->", "<!-- end -->"


def answer(profiles: Sequence[Published]) -> str:
    """The answer in one sentence, counted from the verdicts; open is what is inconclusive or cannot be decided."""
    parts = []
    for profile in profiles:
        found = [finding["verdict"] for key, finding in profile.claims.items() if key in CLAIMS]
        yes, no = found.count("supported"), found.count("not supported")
        left = len(found) - yes - no
        parts.append(
            f"on {_images(profile)} (`{profile.profile}`) {yes} of {len(found)} claims of the abstract "
            f"{'is' if yes == 1 else 'are'} supported, {no} {'is' if no == 1 else 'are'} not, and "
            f"{left} {'stays' if left == 1 else 'stay'} open"
        )
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]


def _images(profile: Published) -> str:
    return profile.images(profile.notebooks[0])[0]


def verdicts(profiles: Sequence[Published]) -> str:
    """The abstract's claims and, in a table of their own where any is decided, its neighbours'."""
    known = [profile for profile in profiles if profile.claims.keys() & NEIGHBOURS.keys()]
    apart = f"\n\nClaims of others, of which the abstract says nothing:\n\n{_table(known, NEIGHBOURS)}"
    return _table(profiles, CLAIMS) + (apart if known else "")


def _table(profiles: Sequence[Published], claims: Mapping[str, Claim]) -> str:
    """A table in HTML: a row a claim, a column a profile, each verdict a link to the page that decides it."""
    heads = "".join(f"<th scope='col'>{profile.profile}<br>{escape(_images(profile))}</th>" for profile in profiles)
    rows = []
    for key, claim in claims.items():
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


def button(repository: str) -> str:
    """What opens ``explore.ipynb`` on Binder, of the repository at an address."""
    there = f"https://mybinder.org/v2/git/{quote(repository, safe='')}/HEAD?labpath=notebooks%2Fexplore.ipynb"
    return f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({there})"


def readme(text: str, profiles: Sequence[Published], repository: str) -> str:
    """The README with its answer and its table of verdicts as they are now; a button where an address is known."""
    heads = [f"{profile.profile}: {_images(profile)}" for profile in profiles]
    lines = ["| claim | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    for key, claim in CLAIMS.items():
        found = [profile.claims.get(key) for profile in profiles]
        cells = [f"{LOOKS[one['verdict']][1]} {one['verdict']}, n = {one['n']}" if one else "–" for one in found]
        lines.append(f"| {key}: {claim.words.rstrip('.')} | " + " | ".join(cells) + " |")
    made = f"{answer(profiles)}\n\n" + "\n".join(lines) + (f"\n\n{button(repository)}" if repository else "")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


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
