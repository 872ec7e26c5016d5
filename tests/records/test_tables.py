"""Tables of runs: written and read."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from prunability.data.images import TITLES
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.records import columns, sources, tables
from prunability.records.columns import columns_of
from prunability.records.schema import document, meaning
from prunability.records.tables import (
    METADATA,
    OF_ROWS,
    SIGNATURE,
    Published,
    _signature,
    find,
    read,
    table_path,
    write,
)


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
    assert frame["checksum"].tolist() == [record.checksum for record in whole.records]
    assert frame["result.test_loss"].isna().tolist() == [True] + [False] * 5
    assert frame["measures.path_norm.values.path_norm"][1] == drawn.measures["path_norm"].values["path_norm"]


def test_every_column_has_a_meaning(table: Published) -> None:
    names = columns_of(table.records).keys() | OF_ROWS
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


NUMBER = st.none() | st.floats(allow_nan=False)
COLUMNS = st.one_of(
    *(
        st.builds(pa.array, st.lists(cell, min_size=4, max_size=4), st.just(kind))
        for kind, cell in {
            pa.float64(): NUMBER,
            pa.int64(): st.none() | st.integers(-3, 3),
            pa.bool_(): st.none() | st.booleans(),
            pa.string(): st.none() | st.text(max_size=2),
            pa.list_(pa.float64()): st.none() | st.lists(NUMBER, max_size=2),
            pa.list_(pa.list_(pa.float64())): st.lists(st.lists(NUMBER, max_size=2), max_size=3),
        }.items()
    )
)


@settings(max_examples=100, deadline=None)
@given(one=COLUMNS, other=COLUMNS, cuts=st.lists(st.integers(0, 4)))
def test_a_signature_is_of_the_values_however_they_lie_in_memory(
    one: pa.Array, other: pa.Array, cuts: list[int]
) -> None:
    """In pieces, from the middle of a larger array, or with whatever there is where a value is missing."""
    ends = [0, *sorted(cuts), 4]
    larger = pa.concat_arrays([one.slice(1), one, one])
    pieces = [larger.slice(3 + begin, end - begin) for begin, end in pairwise(ends)]
    signed = _signature(b"", pa.table({"a": one}))
    assert _signature(b"", pa.table({"a": pa.chunked_array(pieces)})) == signed
    same = (one.type, repr(one.to_pylist())) == (other.type, repr(other.to_pylist()))
    assert (_signature(b"", pa.table({"a": other})) == signed) == same
    assert _signature(b"", pa.table({"b": one})) != signed != _signature(b" ", pa.table({"a": one}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0]), pa.array([0.0])),
        (pa.array([0.0, None]), pa.array([None, 0.0])),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([[1.0], [2.0, 3.0]]), pa.array([[1.0, 2.0], [3.0]])),
        (pa.array([[], None], pa.list_(pa.float64())), pa.array([None, []], pa.list_(pa.float64()))),
        (pa.array([[[1.0]], [[2.0], [3.0]]]), pa.array([[[1.0], [2.0]], [[3.0]]])),
        (pa.array([[[None, 1.0]]]), pa.array([[[1.0, None]]])),
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
    ],
)
def test_what_has_the_same_bytes_is_told_apart(one: pa.Array, other: pa.Array) -> None:
    assert _signature(b"", pa.table({"a": one})) != _signature(b"", pa.table({"a": other}))


def test_what_is_not_there_does_not_count() -> None:
    there, numbers = pa.py_buffer(b"\x05"), (pa.array([1.0, x, 3.0]).buffers()[1] for x in (0.0, 9.0))
    one, other = (pa.Array.from_buffers(pa.float64(), 3, [there, values]) for values in numbers)
    assert one.equals(other)
    assert _signature(b"", pa.table({"a": one})) == _signature(b"", pa.table({"a": other}))


def test_a_table_in_pieces_is_the_same_table(table: Published, tmp_path: Path) -> None:
    """As another writer of Parquet may lay it out."""
    write(path := tmp_path / "table.parquet", table)
    parquet.write_table(parquet.read_table(path), path, row_group_size=2, compression="none", use_dictionary=False)
    assert read(path) == table


def test_a_table_of_many_runs_is_read_some_at_a_time(
    table: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (columns, tables):
        monkeypatch.setattr(module, "AT_ONCE", 4)
    write(path := tmp_path / "table.parquet", table)
    assert read(path) == table


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
        (_set("seconds.training", math.nan, 1), r"\(seconds\.training: a number in it is not finite\)"),
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


def test_runs_of_other_images_make_no_table(
    table: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_others = replace(table, origin=replace(table.origin, data=table.origin.data._replace(checksum="0" * 64)))
    with pytest.raises(PrunabilityError, match=r"is not written: run .* is of other images than the table"):
        write(tmp_path / "table.parquet", of_others)
    assert not (tmp_path / "table.parquet").exists()
    with monkeypatch.context() as careless:
        careless.setattr(tables, "_agree", lambda *_: None)
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
