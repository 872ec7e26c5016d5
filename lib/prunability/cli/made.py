"""What is made of the runs: figures and the site."""

import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from prunability.cli.app import ProfileName, Workers, app, echo, explained
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.foundation.files import expanded
from prunability.report.session import Parameters


@app.command()
def figures(
    context: typer.Context,
    profile: ProfileName = "quick",
    notebook: Annotated[list[str] | None, typer.Option(help="A notebook by name; by default all.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", help=f"NAME=VALUE; names: {', '.join(Parameters.model_fields)}."),
    ] = None,
    workers: Workers = 0,
) -> None:
    """Execute the notebooks and write figures/PROFILE/."""
    with explained():
        values = _pairs(parameter or [])
        chosen = context.get_parameter_source("profile")
        if values.setdefault("profile", profile) != profile and chosen is not None and chosen.name != "DEFAULT":
            raise PrunabilityError(f"--profile {profile} and -p profile={values['profile']}: give one of them")
        try:
            from prunability.report import notebooks  # noqa: PLC0415  (the only command that needs Jupyter)
        except ImportError as error:
            raise PrunabilityError(
                f"figures needs Jupyter and papermill ({error}): in its folder, pip install '.[notebooks]'"
            ) from error
        except RuntimeError as error:  # Jupyter looks for the user's home when it is loaded
            raise PrunabilityError(f"figures: Jupyter cannot be loaded ({error}); set HOME to a folder") from error
        for path in notebooks.execute(notebooks.sources(notebook or [], values["profile"]), values, workers):
            typer.echo(f"wrote {path}")


@app.command()
def lab() -> None:
    """Open JupyterLab on copies of the notebooks, in lab/: what is done there touches nothing that is committed."""
    with explained():
        if find_spec("jupyterlab") is None:
            raise PrunabilityError("lab needs JupyterLab: in the project's folder, pip install '.[notebooks]'")
        from prunability.report import lab as copied  # noqa: PLC0415  (as the next)
        from prunability.report import notebooks  # noqa: PLC0415  (needs Jupyter)

        folder, said = copied.prepare(notebooks.offered())
        echo(said)
        first = f"/lab/tree/{folder.name}/{next(iter(notebooks.known()))}.ipynb"
        options = [f"--ServerApp.root_dir={project_root()}", f"--LabApp.default_url={first}"]
        ended = subprocess.run([sys.executable, "-m", "jupyterlab", *options], check=False)  # noqa: S603
        raise typer.Exit(ended.returncode)


@app.command()
def site(target: Annotated[str, typer.Argument(help="Its folder.")] = "site", workers: Workers = 0) -> None:
    """Make the static site of what is published, with each figure as PDF and SVG too."""
    with explained():
        folder = expanded(target, "site")
        from prunability.report.site import build  # noqa: PLC0415  (needs Sphinx and Jupyter)

        build.draw(workers)
        build.renew(project_root() / "README.md")
        typer.echo(f"wrote {build.build(folder)}")


def _pairs(parameters: list[str]) -> dict[str, str]:
    pairs = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals:
            raise PrunabilityError(f"parameter {text!r}: it must be NAME=VALUE")
        if (name := name.strip()) in pairs:
            raise PrunabilityError(f"parameter {name}: it is given twice; give it once")
        pairs[name] = value
    return pairs
