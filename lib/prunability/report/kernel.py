"""The kernel in which notebooks are driven: this interpreter, with none of a user's settings."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipykernel.kernelspec import get_kernel_dict
from joblib.externals.loky.backend import resource_tracker
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from matplotlib.font_manager import FontManager, fontManager, json_dump
from traitlets.config import Config

from prunability.report.session import PUBLISHING

# Seconds in which a kernel must have started; on a busy machine it takes more than a minute.
START_WITHIN = 300
# Seconds in which what a cell has shown must arrive once it has ended; by default the rest is dropped after four.
SHOW_WITHIN = 120


@contextmanager
def own_kernel() -> Iterator[dict[str, Any]]:
    """What papermill is told of the kernel. Its settings, caches and connection are in a folder that goes with it.

    No kernel that is installed under the notebook's name is asked, and neither are IPython's profile and
    matplotlib's style, of which a startup file or a default could change or empty a figure.
    """
    with tempfile.TemporaryDirectory() as folder:
        # It removes the folder if this process is killed.
        resource_tracker.register(folder, "folder")
        try:
            yield _kernel_in(Path(folder))
        finally:
            resource_tracker.unregister(folder, "folder")


def _kernel_in(folder: Path) -> dict[str, Any]:
    settings = folder / "matplotlibrc"
    settings.touch()
    # matplotlib would look for all fonts anew, and say so in the notebook where that takes long.
    json_dump(fontManager, folder / f"fontlist-v{FontManager.__version__}.json")
    own = {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder, "MPLCONFIGDIR": folder, "MATPLOTLIBRC": settings}
    # The kernel's start reads $NAME as the value of a variable.
    environment = {name: str(place).replace("$", "$$") for name, place in own.items()}
    environment |= {"MPLBACKEND": "agg", "PYTHONSTARTUP": "", PUBLISHING: "yes"}
    # A kernel is interrupted before it is ended, and would log that as an error.
    quiet = get_kernel_dict(extra_arguments=["--log-level=CRITICAL"])
    spec = KernelSpec(**quiet, env=environment)
    # Encrypt what passes between this process and the kernel where the kernel can; without it, the kernel warns.
    manager = {"transport_encryption": "auto", "connection_file": str(folder / "connection.json")}
    show = {"iopub_timeout": SHOW_WITHIN, "raise_on_iopub_timeout": True}
    return {
        "kernel_manager_class": type("OwnKernel", (AsyncKernelManager,), {"kernel_spec": spec}),
        "config": Config({"KernelManager": manager, "NotebookClient": show}),
        "start_timeout": START_WITHIN,
    }
