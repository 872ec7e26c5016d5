"""What decides a result's last bits on a CPU, and whether fleets leave them alone.

The package asks torch's libraries, before they compute, for the same bits wherever a matrix lies in memory and in
whatever company (``prunability/__init__.py``). Here is what of that is in force, and whether it suffices.
"""

import ctypes
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import prunability
from prunability.data.dataset import DataConfig, Dataset
from prunability.foundation.seeding import generator
from prunability.training.config import LOSS, RunConfig, TrainingConfig
from prunability.training.fleet import CHUNK, Fleet
from prunability.training.loop import DTYPES

# What MKL calls the modes of its conditional numerical reproducibility, and the flag beside them.
MODES = {
    1: "off", 2: "AUTO", 3: "COMPATIBLE", 4: "SSE2", 6: "SSSE3", 7: "SSE4_1", 8: "SSE4_2", 9: "AVX", 10: "AVX2",
    12: "AVX512", 14: "AVX512_E1",
}  # fmt: skip
STRICT = 0x10000
# Rows of the fleet that is tried, and parts of the images that it evaluates: cheap, and none was seen to differ
# in a row beyond these alone.
COPIES, TRIES = 4, 8


def in_force() -> dict[str, str]:
    """The processor's name and what its arithmetic was told, as it is at this moment in this process.

    ``onednn`` is there where it was capped. MKL itself is asked, so that a setting which came too late, because
    somebody had it compute before this package was loaded, is not taken for one in force.
    """
    found = {
        "processor": processor(),
        "mkl": _mkl(),
        "aten": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }
    if cap := os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA")):
        found["onednn"] = cap
    return found


@cache
def processor() -> str:
    """The processor's name, with family and model on Linux; its architecture where the system tells no more."""
    name, file = "", Path("/proc/cpuinfo")
    if file.exists():
        first = file.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
        facts = {
            key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())
        }
        # A virtual machine's name may be that of many processors.
        parts = (facts.get("model name", ""), *(f"{k} {facts[k]}" for k in ("cpu family", "model") if k in facts))
        name = ", ".join(part.removeprefix("cpu ") for part in parts if part)
    elif platform.system() == "Darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603  (constant)
    return " ".join((name or platform.processor() or platform.machine()).split())


def _mkl() -> str:
    """MKL's mode, such as ``AUTO,STRICT``."""
    if not torch.backends.mkl.is_available():
        return "none"
    try:
        libraries = Path(torch.__file__).parent / "lib"
        mode = ctypes.CDLL(str(next(libraries.glob("*torch_cpu.*")))).mkl_serv_cbwr_get(-1)
    except (AttributeError, OSError, StopIteration):  # its symbols are hidden
        return (
            os.environ.get("MKL_CBWR", "off")
            + ", as set"
            + ", after torch was loaded" * prunability.TORCH_CAME_FIRST
        )
    return MODES.get(mode & ~STRICT, str(mode & ~STRICT)) + (",STRICT" if mode & STRICT else "")


def fleets_agree(config: RunConfig, data: Dataset) -> bool:
    """Whether networks of this shape are the same bits in a fleet as alone, whatever their row.

    Tried on copies of one network: a step, and the logits after it. The answer hangs on the machine, on what all
    networks of a fleet share, and on the numbers and shape of the images.
    """
    rules = config.training.model_dump(include={"optimiser", "batch_size", "precision", "adversarial"} | LOSS)
    plain = RunConfig(
        data=DataConfig(checksum="0" * 64, n_train=config.training.batch_size),
        network=config.network.model_copy(update={"dropout": 0.0} if config.dropout else {}),
        training=TrainingConfig(learning_rate=0.01, stop_at_target=False, **rules),
    )
    parts = {CHUNK, len(data.train_images) % CHUNK, len(data.test_images) % CHUNK} - {0}
    return _agree(plain, tuple(data.train_images.shape[1:]), data.classes, tuple(sorted(parts)))


@cache
def _agree(config: RunConfig, image: tuple[int, ...], classes: int, parts: tuple[int, ...]) -> bool:
    draws, batch = generator("do fleets agree"), config.training.batch_size
    # Of a small part's few logits perhaps one differs: several parts are tried.
    images = torch.randn(max(batch, CHUNK), *image, generator=draws, dtype=torch.float32)
    images = images.to(DTYPES[config.training.precision])
    labels = torch.randint(classes, (len(images),), generator=draws)
    ends = torch.tensor([-3.0, 3.0], dtype=images.dtype).view(2, 1, 1, 1)
    data = Dataset(classes, images, labels, images, labels, ends=ends)

    def found(copies: int) -> Iterator[Tensor]:
        fleet = Fleet(config, data)
        fleet.enter([config] * copies)
        fleet.network.train()
        unmoved = torch.empty(copies, batch, 0, dtype=torch.int64)
        keys = torch.zeros(copies, 1, 2, dtype=torch.int32)
        yield fleet.step(torch.arange(batch).expand(copies, -1), keys, unmoved, torch.ones(copies))
        yield fleet.weights
        for part in parts:
            for some in images[:CHUNK].split(part)[:TRIES]:
                yield fleet.logits(range(copies), some)

    pairs = zip(found(COPIES), found(1), strict=True)
    return all(torch.equal(many, one.expand_as(many)) for many, one in pairs)
