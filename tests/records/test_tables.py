"""Tables of runs: written and read."""

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
from prunability.records.tables import Published, find, read, row_of, table_path, write


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


def _edited(path: Path, edit: Callable[[pd.DataFrame], Any]) -> None:
    frame = pd.read_parquet(path)
    edit(frame)
    metadata = parquet.read_schema(path).metadata
    changed = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(metadata)
    parquet.write_table(changed, path)


def test_an_edited_or_damaged_table_is_an_error(table: Published, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write(path, table)
    _edited(path, lambda frame: frame.__setitem__("result.test_loss", frame["result.test_loss"] * 0.9))
    with pytest.raises(PrunabilityError, match=r"table\.parquet.*does not match its checksum"):
        read(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(PrunabilityError, match=r"not a whole table of runs.*does not say which study it is of"):
        read(path)
    write(path, table)
    _edited(path, lambda frame: frame.__setitem__("config.version", 99))
    with pytest.raises(PrunabilityError, match=r"perhaps of a newer one \(config\.version: [^\n]*99\)\)$"):
        read(path)
    write(path, table)
    _edited(path, lambda frame: frame.pop("weights"))
    with pytest.raises(PrunabilityError, match=r"not a whole table of runs.*weights"):
        read(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(PrunabilityError, match=r"table\.parquet"):
        read(path)
    with pytest.raises(PrunabilityError, match="cannot be read as a table of runs: there is no such file"):
        read(tmp_path / "none.parquet")
    with pytest.raises(PrunabilityError, match="cannot be read as a table of runs: it is a folder"):
        read(tmp_path)


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
    write(tmp_path / "table.parquet", replace(table, origin=replace(table.origin, data=renamed)))
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
    assert again.equals(published, check_metadata=True)
