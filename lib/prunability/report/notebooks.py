"""Driving the notebooks: train what they need, execute them with papermill, keep clean copies and pages."""

import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import cores, project_root
from prunability.foundation.files import writable, write
from prunability.foundation.processes import Killed, as_they_end
from prunability.records.runner import Snapshot
from prunability.records.sources import Chosen, check, choose, gather
from prunability.report.pages import publish
from prunability.report.session import Parameters, validate
from prunability.studies import STUDIES, having, profiles

# Encrypt what passes between this process and a kernel where the kernel can; without it, the kernel warns.
KERNEL = Config({"KernelManager": {"transport_encryption": "auto"}})


def _known() -> dict[str, Path]:
    return {path.stem: path for path in sorted((project_root() / "notebooks").glob("*.ipynb"))}


def sources(names: Sequence[str], profile: str) -> list[Path]:
    """The notebooks asked for by name; if none is, all whose study has the profile.

    Raises:
        PrunabilityError: there is no such notebook, or no study has the profile.
    """
    known = _known()
    if unknown := [name for name in names if name.removesuffix(".ipynb") not in known]:
        raise PrunabilityError(f"unknown notebook {', '.join(unknown)}: there are {', '.join(known)}")
    if names:
        return [known[name.removesuffix(".ipynb")] for name in names]
    found = [path for path in known.values() if any(profile in profiles(study) for study in studies_of(path))]
    if not found:
        every = dict.fromkeys(itertools.chain.from_iterable(STUDIES.values()))
        raise PrunabilityError(f"unknown profile {profile!r}: it must be one of {', '.join(every)}")
    return found


def studies_of(path: Path) -> list[str]:
    """The studies whose runs a notebook needs, from its metadata: by name, or "all".

    Raises:
        PrunabilityError: it names none.
    """
    found = nbformat.read(path, as_version=4).metadata.get("prunability", {}).get("studies")
    if not found:
        raise PrunabilityError(f"{path.name}: its metadata names no studies (prunability.studies)")
    return list(STUDIES) if found == "all" else [str(study) for study in found]


def execute(notebooks: Sequence[Path], values: Mapping[str, Any], workers: int = 0) -> list[Path]:
    """Execute notebooks with the given parameters and return their pages.

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
    folder = next(iter(checked.values())).folder
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
    writable(folder / "notebooks", "figures")
    for study, execution in executions.items():
        gather(opened[study], execution, stored.get(study))
    changed = _changed(next(iter(checked.values())))
    with closing(as_they_end(_execute, [(path, changed, folder) for path in notebooks], cores())) as results:
        ended = {notebooks[at]: page for at, page in results}
    if killed := [f"{path.name}: {page}" for path, page in ended.items() if isinstance(page, Killed)]:
        raise PrunabilityError(f"{'; '.join(killed)}. Finished runs are kept; the same command goes on")
    return sorted(page for page in ended.values() if isinstance(page, Path))


def _changed(parameters: Parameters) -> dict[str, Any]:
    """Only what the user set, so that a published copy holds no place of this machine."""
    return {"profile": parameters.profile, **parameters.model_dump(exclude_defaults=True)}


def _execute(path: Path, parameters: dict[str, Any], folder: Path) -> Path:
    print(f"{path.name}: executing", file=sys.stderr, flush=True)
    try:
        # Without a file, of which a kill would leave the folder behind.
        executed = papermill.execute_notebook(path, None, parameters, progress_bar=False, config=KERNEL)
    except PapermillExecutionError as error:
        raise PrunabilityError(f"{path.name}: {error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        raise PrunabilityError(
            f"{path.name}: its kernel was killed (out of memory, perhaps). Finished runs are kept; the "
            "same command goes on"
        ) from error
    # As a reader of the file would have it.
    notebook = nbformat.reads(nbformat.writes(executed), as_version=4)
    notebook = clean(notebook, [parameters.get(key, "") for key in ("figures", "runs")])
    text = nbformat.writes(notebook)
    write(folder / "notebooks" / path.name, text if text.endswith("\n") else text + "\n")
    return publish(notebook, path.stem, folder, list(_known()))


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
    for place, stand_in in (*own, (str(project_root()), "."), (sys.prefix, ".venv"), (str(Path.home()), "~")):
        if len(place) > 1:
            text = re.sub(re.escape(json.dumps(place)[1:-1]) + r"(?=[/\\\"' ]|$)", stand_in, text)
    cleaned: nbformat.NotebookNode = nbformat.from_dict(json.loads(text))
    return cleaned
