"""Every network of a published table, pruned by magnitude: made from its weights, and read without them.

A file beside the table, ``results/<profile>/curves/<study>.parquet``, has a row for each network whose weights were
there when it was written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.foundation.files import replacing, writable
from prunability.foundation.progress import progress
from prunability.measures import TrainedRun
from prunability.measures.search import RESOLUTION, SWEEP, keep_steps
from prunability.records.tables import find, table_path
from prunability.report.curves import Curves
from prunability.report.example import loss_curve
from prunability.studies import Study
from prunability.training.loop import one_thread


@dataclass(frozen=True)
class Pruned:
    """A network with its largest weights kept.

    ``losses`` [RESOLUTION] are in nats, at the kept fractions 1/RESOLUTION, …, 1. ``sizes`` [layers] says how many
    weights each layer has, ``kept`` [SWEEP, layers] how many of them are kept at each tolerance.
    """

    losses: NDArray[np.float32]
    layers: tuple[str, ...]
    sizes: NDArray[np.int32]
    kept: NDArray[np.int32]


def pruned(run: TrainedRun) -> Pruned:
    """The curve of a network, and what is left of each of its layers where the curve meets each tolerance."""
    losses = np.array(loss_curve(run, "magnitude", RESOLUTION))
    limits = [tolerance.limit(run.train_loss) for tolerance in SWEEP]
    # The whole network is admissible by definition.
    answers = [int(np.argmax(np.append(losses[:-1], -np.inf) <= limit)) + 1 for limit in limits]
    steps = keep_steps(run.weights, "magnitude").values()
    kept = [[int((own <= answer).sum()) for own in steps] for answer in answers]
    names = tuple(name.removesuffix(".weight") for name in run.weights)
    sizes = [weight.numel() for weight in run.weights.values()]
    return Pruned(losses.astype(np.float32), names, np.array(sizes, np.int32), np.array(kept, np.int32))


def path_of(results: Path, study: str, profile: str) -> Path:
    """Where the file of a study is, or would be."""
    table = table_path(results, study, profile)
    return table.parent / "curves" / table.name


def write(path: Path, networks: Mapping[str, Pruned]) -> None:
    """Write networks by the hash of their run, atomically; the same networks give the same bytes."""
    columns = {
        "run": pa.array(networks),
        "losses": pa.array([list(one.losses) for one in networks.values()], pa.list_(pa.float32())),
        "layers": pa.array([one.layers for one in networks.values()], pa.list_(pa.string())),
        "sizes": pa.array([list(one.sizes) for one in networks.values()], pa.list_(pa.int32())),
        "kept": pa.array([one.kept.ravel() for one in networks.values()], pa.list_(pa.int32())),
    }
    with replacing(path) as partial:
        # Of numbers near one another the first bytes are alike.
        split = ["losses.list.element"]
        parquet.write_table(
            pa.table(columns),
            partial,
            compression="zstd",
            compression_level=19,
            use_dictionary=["layers.list.element"],
            use_byte_stream_split=split,
        )


def read(path: Path) -> dict[str, Pruned]:
    """The networks of a file, by the hash of their run; none where there is no file.

    Raises:
        PrunabilityError: it is damaged, or not such a file.
    """
    if not path.exists():
        return {}
    try:
        return {
            row["run"]: Pruned(
                np.array(row["losses"], np.float32),
                tuple(row["layers"]),
                np.array(row["sizes"], np.int32),
                np.array(row["kept"], np.int32).reshape(len(SWEEP), len(row["sizes"])),
            )
            for row in parquet.read_table(path).to_pylist()
        }
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise PrunabilityError(f"{path}: cannot be read as curves of networks: {error}. Restore it") from error


def publish(study: Study, execution: Execution) -> tuple[Path, int, int]:
    """Write the file of a study's published networks; returns its path, how many it has, and how many there are.

    Only weights that are those of the published run count, by their checksum.

    Raises:
        PrunabilityError: nothing is published, or of none of its networks there are weights.
    """
    table = find(execution.results, study.name, study.profile)
    if table is None:
        raise PrunabilityError(f"{study.name}, {study.profile}: nothing is published in {execution.results}")
    trained = [record for record in table.records if record.result.train_loss is not None]
    curves, found = Curves(study, trained, execution), dict[str, Pruned]()
    with progress(len(trained), f"{study.name}, {study.profile}: pruning") as tick, one_thread():
        for record in trained:
            run = record.config.hash
            if here := curves.has_weights(run):
                found[run] = pruned(curves.network(run))
            tick("pruned" if here else "no weights of this run")
    if not found:
        raise PrunabilityError(
            f"{study.name}, {study.profile}: {execution.runs} has weights of none of the {len(trained)} published "
            "networks; train them on a processor that makes the same bits (`prunability compare` says so)"
        )
    path = path_of(execution.results, study.name, study.profile)
    writable(path.parent, "results")
    write(path, found)
    return path, len(found), len(table.records)
