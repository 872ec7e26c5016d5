"""``python -m prunability``."""

from prunability.cli import app

app()
