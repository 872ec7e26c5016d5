"""A companion to "Robustness to Pruning Predicts Generalization in Deep Neural Networks".

Configuration, data, networks, training, pruning and measures, run store, statistics, figures and claims
are modules of these names, each using only those before it; notebooks call them from the top.
"""

import os
import sys
import time
from pathlib import Path

# When this process began, by the clock that limits of time are measured with: importing torch takes seconds.
STARTED = time.monotonic()
TORCH_CAME_FIRST = "torch" in sys.modules

# Read by torch's libraries when they first compute, and by the processes started from here; what a user has set
# stays. Without the first, a product's bits depend on where in memory a matrix begins; without the second, those of
# PyTorch's own kernels on whether there is AVX-512, which gains them little (``benchmarks/bits.py``).
# MKL_CBWR=COMPATIBLE gives the same products on every maker's processor, and is slower.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")
_processors = Path("/proc/cpuinfo")
if _processors.exists() and " avx512f" in _processors.read_text(encoding="utf-8", errors="replace"):
    os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
