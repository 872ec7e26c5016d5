"""What people see: figures, text, and what the notebooks talk to. It uses every other room."""

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules and (backend := os.environ.pop("MPLBACKEND", "")):
    # As matplotlib does it; of a name that it does not know it would die, and no figure of ours needs it.
    import matplotlib

    os.environ["MPLBACKEND"] = backend
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = backend
