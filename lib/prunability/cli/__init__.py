"""The command line: ``prunability run``, ``status``, ``figures`` and others. It uses all rooms."""

from prunability.cli.app import app

from prunability.cli.runs import run  # isort: skip  (in this order they stand in the help)
from prunability.cli.seen import compare, images, status
from prunability.cli.tables import export, import_, verify_

from prunability.cli.made import figures, lab, site  # isort: skip

__all__ = ["app", "compare", "export", "figures", "images", "import_", "lab", "run", "site", "status", "verify_"]
