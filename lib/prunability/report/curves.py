"""Loss curves of a study's networks: from their records, else from their weights, and then kept."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pandas as pd

from prunability.analysis import widths
from prunability.data.dataset import prepare
from prunability.data.sources import load_images
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import TrainedRun
from prunability.measures.search import PRUNERS, RESOLUTION, Pruner
from prunability.records.record import Record, UnusableError
from prunability.records.store import RunStore
from prunability.report.example import POINTS, Example, example_of, loss_curve, median_first, tolerance_curves
from prunability.studies import Study
from prunability.training.loop import DTYPES, one_thread


class Curves:
    """The curves of some finished runs of a study. ``records`` get those that are drawn anew."""

    def __init__(self, study: Study, records: list[Record], execution: Execution) -> None:
        self.study, self.records, self.execution = study, records, execution
        self.store = RunStore(execution.runs)
        self.places = {record.config.hash: place for place, record in enumerate(records)}

    def drawable(self, run: str, pruners: Sequence[Pruner], resolution: int) -> bool:
        """Whether a run's curves are in its record, or can be drawn from its weights."""
        record = self.records[self.places[run]]
        if {f"{pruner}_{resolution}" for pruner in pruners} <= set(record.curves):
            return True
        return self.has_weights(run)

    def has_weights(self, run: str) -> bool:
        """Whether a run's weights are in the store, and its images can be had."""
        if self.study.source is None:
            return False
        with suppress(UnusableError):  # damaged ones are as good as none; `prunability verify` names them
            self.store.load_weights(self.records[self.places[run]])
            return True
        return False

    def network(self, run: str) -> TrainedRun:
        """A run's network with its data, from its weights."""
        record = self.records[self.places[run]]
        assert self.study.source is not None, "only what is drawable is drawn"
        weights = self.store.load_weights(record)
        images, dtype = (
            load_images(self.study.source, self.execution.data),
            DTYPES[record.config.training.precision],
        )
        data = prepare(images, record.config.data, self.execution.torch_device, dtype)
        return TrainedRun(record.config, data, *weights, record.result)

    def of(self, run: str, pruner: Pruner, resolution: int) -> list[float]:
        """L(φ(w, g/resolution)) of a run, by its hash, in nats for g = 1 … resolution."""
        key, record = f"{pruner}_{resolution}", self.records[self.places[run]]
        if key in record.curves:
            return record.curves[key]
        with one_thread():
            found = loss_curve(self.network(run), pruner, resolution)
        self.records[self.places[run]] = record = replace(record, curves={**record.curves, key: found})
        with suppress(OSError, PrunabilityError):  # where it cannot be written they are drawn anew each time
            self.store.save(record)
        return found

    def example(self, table: pd.DataFrame) -> Example:
        """The curves of the network whose prunability is the median, or the nearest to it that can be drawn."""
        rows = (row for row in median_first(table) if self.drawable(str(row["run"]), PRUNERS, POINTS))
        return example_of(self._first(rows), self.of, self.study.hyperparameters)

    def tolerances(self, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The magnitude pruner's curves on either side of the threshold, and the tolerances' limits there."""
        drawable = table[[self.drawable(run, ["magnitude"], RESOLUTION) for run in table["run"]]]
        self._first(row for _, row in drawable.iterrows())
        chosen = widths.beside(drawable, widths.interpolation_threshold(table))
        return tolerance_curves(drawable.set_index("run", drop=False).loc[chosen], self.of)

    def draw(self, table: pd.DataFrame) -> None:
        """Draw what the notebooks show of a study, so that it is in the records; of no network there is nothing."""
        if table.empty:
            return
        if self.study.hyperparameters == ("width",):
            self.tolerances(table)
        else:
            self.example(table)

    def _first(self, rows: Iterator[pd.Series]) -> pd.Series:
        row = next(rows, None)
        if row is None:
            raise PrunabilityError(
                f"{self.study.name}, {self.study.profile}: no network can be drawn. Neither curves nor weights are "
                "here: export the runs anew where their weights are"
            )
        return row
