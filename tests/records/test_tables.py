"""Tables of runs: written and read."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from prunability.data.images import TITLES
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.records import sources
from prunability.records.schema import document, meaning
from prunability.records.tables import METADATA, SIGNATURE, Published, find, read, row_of, table_path, write


def test_a_table_loses_nothing_but_weights(table: Published, tmp_path: Path) -> None:
    drawn = replace(table.records[1], curves={"magnitude_25": [2.0, 1.5, 0.01]})
    whole = replace(table, records=(table.records[0], drawn, *table.records[2:]))
    write(tmp_path / "a" / "table.parquet", whole)
    found = read(tmp_path / "a" / "table.parquet")
    assert found == whole
    assert [r.checksum for r in found.records] == [r.checksum for r in whole.records]
    write(tmp_path / "again.parquet", found)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "a" / "table.parquet").read_bytes()
    frame = pd.read_parquet(tmp_path / "again.parquet")
    assert frame["run"].tolist() == [record.config.hash for record in whole.records]
    assert set(frame["data"]) == {"digits"}
    assert frame["result.test_loss"].isna().tolist() == [True] + [False] * 5
    assert frame["measures.path_norm.values.path_norm"][1] == drawn.measures["path_norm"].values["path_norm"]


def test_every_column_has_a_meaning(table: Published) -> None:
    names = {name for record in table.records for name in row_of(record)}
    assert len(names) > 100
    for name in names:
        assert meaning(name).strip(), name
    with pytest.raises(KeyError):
        meaning("config.network.colour")


Columns = dict[str, list[Any]]


def _edited(path: Path, edit: Callable[[Columns], object], *, signed: bool = False) -> None:
    """Edit a table; one that is not ``signed`` any more is as those of before there were signatures."""
    content = parquet.read_table(path)
    columns = content.to_pydict()
    edit(columns)
    metadata = {k: v for k, v in content.schema.metadata.items() if signed or k != SIGNATURE}
    parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), path)


def _set(name: str, value: object, row: int | None = None) -> Callable[[Columns], None]:
    def edit(columns: Columns) -> None:
        known = columns[name]
        columns[name] = [value if row in (None, place) else old for place, old in enumerate(known)]

    return edit


def _rows(choose: Callable[[list[Any]], list[Any]], *names: str) -> Callable[[Columns], None]:
    def edit(columns: Columns) -> None:
        for name in names or list(columns):
            columns[name] = choose(columns[name])

    return edit


def _without(start: str) -> Callable[[Columns], None]:
    def edit(columns: Columns) -> None:
        for name in [name for name in columns if name.startswith(start)]:
            del columns[name]

    return edit


EDITS = [
    _set("seconds.training", 3.0, 1),
    _set("environment.device", "another"),
    _rows(lambda curves: [curve and [0.9 * loss for loss in curve] for curve in curves], "curves.magnitude_25"),
    _set("data", "other images"),
    _rows(lambda column: column[::-1]),
    _rows(lambda column: column[:-1]),
    _rows(lambda column: column + column[:1]),
    _without("environment.torch"),
]


@pytest.mark.parametrize("edit", EDITS)
def test_all_that_is_in_a_table_is_signed(
    table: Published, tmp_path: Path, edit: Callable[[Columns], object]
) -> None:
    write(path := tmp_path / "table.parquet", table)
    _edited(path, lambda _: None, signed=True)
    assert read(path) == table
    _edited(path, edit, signed=True)
    with pytest.raises(PrunabilityError, match=r"table\.parquet.*\(its content does not match its checksum: .*\)$"):
        read(path)


def test_what_a_table_says_of_itself_is_signed(table: Published, tmp_path: Path) -> None:
    write(path := tmp_path / "table.parquet", table)
    content = parquet.read_table(path)
    edited = {k: v.replace(b'"seed": 0', b'"seed": 1') for k, v in content.schema.metadata.items()}
    parquet.write_table(content.replace_schema_metadata(edited), path)
    with pytest.raises(PrunabilityError, match="does not match its checksum"):
        read(path)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (_set("result.test_loss", 0.1, 1), "run .* does not match its checksum"),
        (_rows(lambda runs: runs[::-1], "run"), "run .* does not match its configuration"),
        (_rows(lambda column: column + column[:1]), "run .* stands in it more than once"),
        (_set("seconds.training", math.nan, 1), r"seconds\.training: Input should be a finite number"),
        (_set("seconds.training", "1.5"), r"seconds\.training: Input should be a valid number"),
        (_set("result.steps", 1.5), r"result\.steps: Input should be a valid integer"),
        (_set("environment.device", None, 2), "run .* does not say what it was made with: device"),
        (_without("environment."), "does not say what it was made with: data, device, machine, python, torch"),
        (_set("config.version", 99), r"perhaps of a newer one \(config\.version: [^\n]*99\)\)$"),
        (_without("weights"), "not a whole table of runs.*weights"),
        (_without("run"), "not a whole table of runs.*it has no 'run'"),
    ],
)
def test_a_table_from_before_there_were_signatures_is_checked(
    table: Published, tmp_path: Path, edit: Callable[[Columns], object], why: str
) -> None:
    write(path := tmp_path / "table.parquet", table)
    _edited(path, lambda _: None)
    assert SIGNATURE not in parquet.read_schema(path).metadata
    assert read(path) == table
    _edited(path, edit)
    with pytest.raises(PrunabilityError, match=rf"table\.parquet: [^\n]*{why}"):
        read(path)


def test_what_is_no_table_is_an_error(table: Published, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(PrunabilityError, match=r"not a whole table of runs.*does not say which study it is of"):
        read(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(PrunabilityError, match=r"table\.parquet"):
        read(path)
    with pytest.raises(PrunabilityError, match="cannot be read as a table of runs: there is no such file"):
        read(tmp_path / "none.parquet")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PrunabilityError, match="cannot be read as a table of runs: it is no regular file"):
        read(tmp_path / "pipe")
    with pytest.raises(PrunabilityError, match="cannot be read as a table of runs: it is a folder"):
        read(tmp_path)


def test_runs_of_other_images_make_no_table(table: Published, tmp_path: Path) -> None:
    of_others = replace(table, origin=replace(table.origin, data=table.origin.data._replace(checksum="0" * 64)))
    write(tmp_path / "table.parquet", of_others)
    with pytest.raises(PrunabilityError, match=r"run .* is of other images than the table"):
        read(tmp_path / "table.parquet")


def test_a_table_is_found_at_its_own_place_only(table: Published, tmp_path: Path) -> None:
    assert find(tmp_path, "correlation", "smoke") is None
    for profile in ("smoke", "small"):
        write(table_path(tmp_path, "correlation", profile), table)
    assert find(tmp_path, "correlation", "smoke") == table
    with pytest.raises(PrunabilityError, match="a table of correlation, smoke, not of correlation, small"):
        find(tmp_path, "correlation", "small")


def test_images_are_called_by_their_checksum(table: Published, tmp_path: Path) -> None:
    """Whatever the table says: the name is in every caption."""
    ((checksum, title),) = TITLES.items()
    renamed = table.origin.data._replace(title="CIFAR-10", checksum=checksum)
    of_these = [
        r.config.model_copy(update={"data": r.config.data.model_copy(update={"checksum": checksum})})
        for r in table.records
    ]
    records = tuple(replace(r, config=config) for r, config in zip(table.records, of_these, strict=True))
    write(tmp_path / "table.parquet", Published(replace(table.origin, data=renamed), records))
    assert read(tmp_path / "table.parquet").origin.data.title == title


PUBLISHED = sorted((project_root() / "results").glob("*/*.parquet"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_published_is_of_this_code(path: Path) -> None:
    """Every run belongs to its study, as it was in the table's version, and the page beside it describes it."""
    found = read(path)
    assert (path.parent.name, path.stem) == (found.origin.profile, found.origin.study)
    study = sources.of_table(found).study
    assert len(study.runs) == found.origin.runs
    assert len(sources.of_study(study, found.records)) == len(found.records)
    assert path.with_suffix(".md").read_text() == document(found)
    assert any(record.curves for record in found.records)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_published_is_written_as_it_was_read(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "again.parquet", read(path))
    again, published = (parquet.read_table(file) for file in (tmp_path / "again.parquet", path))
    assert again.equals(published)
    assert again.schema.metadata[METADATA] == published.schema.metadata[METADATA]
