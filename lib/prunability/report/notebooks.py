"""Driving the notebooks: train what they need, execute them with papermill, keep clean copies and pages."""

import itertools
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.translators import PythonTranslator

from prunability.claims import judged
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import cores, project_root
from prunability.foundation.files import read, writable, write
from prunability.foundation.processes import Killed, as_they_end
from prunability.records.runner import Snapshot
from prunability.records.sources import Chosen, check, choose, gather
from prunability.records.tables import table_path
from prunability.report.kernel import own_kernel
from prunability.report.pages import publish, undrawn
from prunability.report.session import Parameters, validate
from prunability.studies import STUDIES, fits, having, profiles

# What a notebook's file is called; others in the folder are somebody's own.
NAMED = re.compile(r"\d\d_\w+\.ipynb")
# One to look around in: it draws for whoever opens it, and nothing of it is published.
EXPLORE = "explore.ipynb"


def known() -> dict[str, Path]:
    """The notebooks by name, in their order; others are none of ours."""
    found = sorted((project_root() / "notebooks").glob("*.ipynb"))
    return {path.stem: path for path in found if NAMED.fullmatch(path.name)}


def offered() -> dict[str, Path]:
    """Those that are opened to work in: the same, and the one to look around in."""
    path = project_root() / "notebooks" / EXPLORE
    return {**known(), path.stem: path}


def sources(names: Sequence[str], profile: str) -> list[Path]:
    """The notebooks asked for by name; if none is, all whose study has the profile.

    What else lies in their folder is named and left out.

    Raises:
        PrunabilityError: there is no such notebook, or no study has the profile.
    """
    named = known()
    if unknown := [name for name in names if name.removesuffix(".ipynb") not in named]:
        raise PrunabilityError(f"unknown notebook {', '.join(unknown)}: there are {', '.join(named)}")
    if names:
        return [named[name] for name in dict.fromkeys(name.removesuffix(".ipynb") for name in names)]
    found = []
    for path in sorted((project_root() / "notebooks").glob("*.ipynb")):
        if path.name == EXPLORE:
            continue
        try:
            if any(profile in profiles(study) for study in studies_of(path)):
                found.append(path)
        except PrunabilityError as error:
            print(f"left out: {error}", file=sys.stderr, flush=True)
    if not found:
        every = dict.fromkeys(itertools.chain.from_iterable(STUDIES.values()))
        raise PrunabilityError(f"unknown profile {profile!r}: it must be one of {', '.join(every)}")
    return found


def studies_of(path: Path) -> list[str]:
    """The studies whose runs a notebook needs, from its metadata: by name, or "all" that decide a claim.

    Raises:
        PrunabilityError: it names none, or it is no notebook of ours.
    """
    if not NAMED.fullmatch(path.name):
        raise PrunabilityError(f"{path.name}: notebooks are named as 04_name.ipynb")
    try:
        found = json.loads(read(path))["metadata"]["prunability"]["studies"]
    except OSError as error:
        raise PrunabilityError(f"{path.name}: it cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError) as error:
        raise PrunabilityError(f"{path.name}: it is no notebook that names its studies in its metadata") from error
    known = judged() if found == "all" else found
    if not isinstance(known, list) or not known or not set(map(str, known)) <= set(STUDIES):
        raise PrunabilityError(f'{path.name}: its studies are {found!r}; there are {", ".join(STUDIES)}, or "all"')
    return known


def execute(notebooks: Sequence[Path], values: Mapping[str, Any], workers: int = 0) -> list[Path]:
    """Execute notebooks with the given parameters and return their pages; of several, those that can be shown.

    Training comes first, in this process, where its progress can be seen; then the notebooks run side by
    side, a process each. Once a notebook has run to its end its page goes to the folder of the figures, a copy to
    ``notebooks/`` in it, and its section into the manifest there.

    Raises:
        PrunabilityError: a parameter is not allowed, or a notebook failed.
    """
    profile = str(values.get("profile", Parameters().profile))
    checked: dict[str, Parameters] = {}
    for path in notebooks:
        for study in having(profile, studies_of(path)):
            checked[study] = validate(study, dict(values), strict=False)
    there, data = _there(notebooks, next(iter(checked.values()))), str(values.get("data", ""))
    notebooks = _fitting(there, profile, data)
    checked = {study: checked[study] for study in _needed(notebooks, profile, data)}
    folder = next(iter(checked.values())).place(publishing=True)
    executions = {study: parameters.execution(workers) for study, parameters in checked.items()}
    opened: dict[str, Chosen] = {}
    stored: dict[str, Snapshot] = {}
    refused: list[str] = []
    for study, p in checked.items():
        try:
            opened[study] = choose(study, p.profile, p.data, p.seed, p.origin, executions[study])
            if opened[study].table is None:
                stored[study] = check(opened[study].study, executions[study])
        except PrunabilityError as error:
            refused.append(str(error))
    if refused:
        raise PrunabilityError("\n".join(dict.fromkeys(refused)))
    for path in (path for path in there if path not in notebooks):
        print(f"left out: {path.name}: {data} is not made of two parts", file=sys.stderr, flush=True)
    writable(folder / "notebooks", "figures")
    for study, execution in executions.items():
        gather(opened[study], execution, stored.get(study))
    changed = _changed(next(iter(checked.values())))
    with closing(as_they_end(_execute, [(path, changed, folder) for path in notebooks], cores())) as results:
        ended = {notebooks[at]: page for at, page in results}
    if killed := [f"{path.name}: {page}" for path, page in ended.items() if isinstance(page, Killed)]:
        raise PrunabilityError(f"{'; '.join(killed)}. Finished runs are kept; the same command goes on")
    return sorted(page for page in ended.values() if isinstance(page, Path))


def _there(notebooks: Sequence[Path], parameters: Parameters) -> Sequence[Path]:
    """Where published runs are shown, the notebooks of which any are, if there are such; others are named."""
    if parameters.origin == "own":
        return notebooks
    results, profile = parameters.execution().results, parameters.profile
    kept = [p for p in notebooks if any(table_path(results, study, profile).exists() for study in studies_of(p))]
    if not kept:
        return notebooks
    for path in (path for path in notebooks if path not in kept):
        print(f"left out: {path.name}: nothing is published of it at {profile}", file=sys.stderr, flush=True)
    return kept


def _fitting(notebooks: Sequence[Path], profile: str, data: str) -> Sequence[Path]:
    """Those of which a study can be put to the images that are asked for; all if none can, which then say so."""
    kept = [p for p in notebooks if any(fits(study, profile, data) for study in having(profile, studies_of(p)))]
    return kept or notebooks


def _needed(notebooks: Sequence[Path], profile: str, data: str) -> list[str]:
    """The studies of notebooks that are made on the images that are asked for: those that fit, all if none does."""
    every = list(dict.fromkeys(study for path in notebooks for study in having(profile, studies_of(path))))
    return [study for study in every if fits(study, profile, data)] or every


def _changed(parameters: Parameters) -> dict[str, Any]:
    """Only what the user set, so that a published copy holds no place of this machine."""
    return {"profile": parameters.profile, **parameters.model_dump(exclude_defaults=True)}


def _execute(path: Path, parameters: dict[str, Any], folder: Path) -> Path:
    print(f"{path.name}: executing", file=sys.stderr, flush=True)
    try:
        with own_kernel() as kernel:
            # Without a file, of which a kill would leave the folder behind.
            executed = papermill.execute_notebook(path, None, parameters, progress_bar=False, **kernel)
    except PapermillExecutionError as error:
        raise PrunabilityError(f"{path.name}: {error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        raise PrunabilityError(
            f"{path.name}: its kernel was killed (out of memory, perhaps). Finished runs are kept; the "
            "same command goes on"
        ) from error
    except CellTimeoutError as error:
        raise PrunabilityError(f"{path.name}: {str(error).splitlines()[0]}; the same command goes on") from error
    except RuntimeError as error:
        raise PrunabilityError(f"{path.name}: its kernel did not start ({error})") from error
    # As a reader of the file would have it.
    notebook = nbformat.reads(nbformat.writes(executed), as_version=4)
    for line in warned(notebook):
        print(f"{path.name}: {line}", file=sys.stderr, flush=True)
    notebook = clean(notebook, [parameters.get(key, "") for key in ("figures", "runs")])
    if missing := undrawn(notebook):
        raise PrunabilityError(f"{path.name}: it ended without its figures {', '.join(missing)}; none is published")
    text = nbformat.writes(notebook)
    write(folder / "notebooks" / path.name, text if text.endswith("\n") else text + "\n")
    return publish(notebook, path.stem, folder, list(known()))


def warned(notebook: nbformat.NotebookNode) -> list[str]:
    """Take out what was written on stderr, line by line: it is for whoever runs the notebook, not for a reader."""
    lines = list[str]()
    for cell in notebook.cells:
        kept = list[nbformat.NotebookNode]()
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                lines += output.text.splitlines()
            elif output.get("name") == "stdout" and kept and kept[-1].get("name") == "stdout":
                kept[-1].text += output.text
            else:
                kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    return lines


def clean(notebook: nbformat.NotebookNode, folders: Sequence[str] = ()) -> nbformat.NotebookNode:
    """Without times, widget state and places of this machine, so that the same results give the same file.

    Of ``folders`` only the last part of the name is kept.
    """
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    for number, cell in enumerate(notebook.cells):
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = f"injected-{number}"
    text = json.dumps(notebook)
    own = [(folder, Path(folder).name) for folder in folders if folder]
    home = os.path.expanduser("~")  # noqa: PTH111  (which does not mind that there is none)
    for pair in (*own, (str(project_root()), "."), (sys.prefix, ".venv"), (home, "~")):
        # As they are, and as papermill spells them in Python.
        for place, stand_in in (pair, [PythonTranslator.translate(name)[1:-1] for name in pair]):
            if len(place) > 1:
                found, written = (json.dumps(name)[1:-1] for name in (place, stand_in))
                text = re.sub(re.escape(found) + r"(?=[/\\\"' ]|$)", written.replace("\\", r"\\"), text)
    cleaned: nbformat.NotebookNode = nbformat.from_dict(json.loads(text))
    return cleaned
