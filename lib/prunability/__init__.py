"""A companion to "Robustness to Pruning Predicts Generalization in Deep Neural Networks".

Data flows one way through the rooms: foundation, data, training, measures, studies, records, analysis, claims,
report; each uses only those before it. What notebooks and scientists use most is here by name.
"""

import os
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

# When this process began, by the clock that limits of time are measured with: importing torch takes seconds.
STARTED = time.monotonic()
TORCH_CAME_FIRST = "torch" in sys.modules

# Read by torch's libraries when they first compute, and by the processes started from here; what a user has set
# stays. Without the first, a product's bits depend on where in memory a matrix begins; without the second, those of
# PyTorch's own kernels on whether there is AVX-512, which gains them little (``benchmarks/bits.py``).
# MKL_CBWR=COMPATIBLE gives the same products on every maker's processor, and is slower.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")
# On a GPU, float32 is float32 for convolutions as for products: TF32 would round their factors to 10 bits.
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
_processors = Path("/proc/cpuinfo")
if _processors.exists() and " avx512f" in _processors.read_text(encoding="utf-8", errors="replace"):
    os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")

if TYPE_CHECKING:
    __version__: str
    from prunability.data.dataset import DataConfig, prepare
    from prunability.data.sources import load_images
    from prunability.foundation.errors import PrunabilityError
    from prunability.foundation.execution import Execution
    from prunability.measures import Measure, TrainedRun, measure
    from prunability.measures.own import measures_of, prunability, pruning_curve
    from prunability.measures.search import Tolerance
    from prunability.records.record import Record
    from prunability.records.runner import complete
    from prunability.records.store import RunStore
    from prunability.report.session import open_session
    from prunability.studies import open_study
    from prunability.training.config import CNNConfig, MLPConfig, NiNConfig, ResNetConfig, RunConfig, TrainingConfig
    from prunability.training.loop import train

_PLACES = {
    "data.dataset": ("DataConfig", "prepare"),
    "data.sources": ("load_images",),
    "foundation.errors": ("PrunabilityError",),
    "foundation.execution": ("Execution",),
    "measures": ("Measure", "TrainedRun", "measure"),
    "measures.own": ("measures_of", "prunability", "pruning_curve"),
    "measures.search": ("Tolerance",),
    "records.record": ("Record",),
    "records.runner": ("complete",),
    "records.store": ("RunStore",),
    "report.session": ("open_session",),
    "studies": ("open_study",),
    "training.config": ("CNNConfig", "MLPConfig", "NiNConfig", "ResNetConfig", "RunConfig", "TrainingConfig"),
    "training.loop": ("train",),
}

__all__ = [
    "CNNConfig",
    "DataConfig",
    "Execution",
    "MLPConfig",
    "Measure",
    "NiNConfig",
    "PrunabilityError",
    "Record",
    "ResNetConfig",
    "RunConfig",
    "RunStore",
    "Tolerance",
    "TrainedRun",
    "TrainingConfig",
    "__version__",
    "complete",
    "load_images",
    "measure",
    "measures_of",
    "open_session",
    "open_study",
    "prepare",
    "prunability",
    "pruning_curve",
    "train",
]


def __getattr__(name: str) -> Any:
    """Imported when first asked for: torch is to read its settings only after they were made here."""
    if name == "__version__":
        return version("prunability")
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"prunability.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
