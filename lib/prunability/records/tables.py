"""Tables of finished runs, published or carried from store to store: lossless but for the weights.

A row is a run. Columns are the fields of its record, nested names joined by points: ``config.network.width``,
``result.test_loss``, ``measures.path_norm.values.path_norm``. A field that a record lacks is null.

What was found has a checksum in its row. A table has one over all that is in it, in its metadata: over seconds,
environment, curves, names and the order of rows too. Tables from before that was written lack it and are read all
the same, for what is published stays the file that it is; all other checks are made of them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from pydantic import TypeAdapter, ValidationError

from prunability.data.images import TITLES, DataFacts
from prunability.foundation.errors import PrunabilityError, explain
from prunability.foundation.execution import PACKAGE
from prunability.foundation.files import digest, replacing
from prunability.records.store import SCHEMA, Record
from prunability.training.config import VERSION
from prunability.training.course import Result

METADATA, SIGNATURE = b"prunability", b"prunability.sha256"
# What a record must say of how it was made.
MADE_BY = {"data", "device", "machine", "python", "torch"}
MEND = "Restore it, or export it anew"
NOT_WHOLE = "it is not a whole table of runs, as `export` writes it"


@dataclass(frozen=True)
class Origin:
    """Which study a table is of. ``runs`` is how many the whole study has, ``source`` the code's checksum."""

    study: str
    profile: str
    seed: int
    runs: int
    source: str
    data: DataFacts


ORIGIN = TypeAdapter(Origin)


@dataclass(frozen=True)
class Published:
    """A table of finished runs."""

    origin: Origin
    records: tuple[Record, ...]

    @property
    def version(self) -> int:
        """The version of the meaning of a configuration by which its runs were made."""
        return self.records[0].config.version if self.records else VERSION

    @property
    def words(self) -> str:
        """How many of the study's runs it has, of which images, and which version where that is an earlier one."""
        made = "" if self.version == VERSION else f", made by version {self.version} of the protocol"
        return f"{len(self.records)} of {self.origin.runs} runs, {self.origin.data.title}{made}"


def source_checksum() -> str:
    """SHA-256 over the library's Python files."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        total.update(path.relative_to(PACKAGE).as_posix().encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def table_path(results: Path, study: str, profile: str) -> Path:
    """Where the published table of a study is, or would be."""
    return results / profile / f"{study}.parquet"


def write(path: Path, table: Published) -> None:
    """Write a table, atomically; the same records give the same bytes."""
    rows = [{**row_of(record), "data": table.origin.data.title} for record in table.records]
    names = sorted({name for row in rows for name in row}, key=_order)
    columns = {name: [row.get(name) for row in rows] for name in names}
    facts = json.dumps(asdict(table.origin) | {"data": table.origin.data._asdict()}, ensure_ascii=False).encode()
    made = pa.table(columns)
    # Of the values as they stand in the table, where a whole number among broken ones is broken too.
    written = made.replace_schema_metadata({METADATA: facts, SIGNATURE: _signature(facts, made.to_pydict())})
    with replacing(path) as partial:
        parquet.write_table(written, partial, compression="zstd")


def read(path: Path) -> Published:
    """A table that :func:`write` wrote.

    Raises:
        PrunabilityError: it is missing, damaged, or not such a table.
    """
    if not path.is_file():
        why = "it is no regular file" if path.exists() else "there is no such file"
        why = "it is a folder" if path.is_dir() else why
        raise PrunabilityError(f"{path}: cannot be read as a table of runs: {why}")
    try:
        content = parquet.read_table(path)
        metadata, columns = content.schema.metadata or {}, content.to_pydict()
        if METADATA not in metadata:
            raise ValueError("it does not say which study it is of")
        if SIGNATURE in metadata and metadata[SIGNATURE] != _signature(metadata[METADATA], columns):
            raise ValueError("its content does not match its checksum: it was edited or damaged")
        origin = ORIGIN.validate_json(metadata[METADATA])
        places = {name: _parts(name) for name in columns if name not in ("run", "data", "checksum")}
        rows = zip(*columns.values(), strict=True)
        records = tuple(_record(dict(zip(columns, row, strict=True)), places) for row in rows)
        if SIGNATURE not in metadata:
            _match(columns, records)
        _agree(origin, records)
        data = origin.data._replace(title=TITLES.get(origin.data.checksum, origin.data.title))
        return Published(replace(origin, data=data), records)
    except OSError as error:
        raise PrunabilityError(f"{path}: cannot be read as a table of runs: {error}") from error
    except ValidationError as error:  # a kind of ValueError
        of_config = any(item["loc"][:1] == ("config",) for item in error.errors())
        what = "a run in it is not of this version, perhaps of a newer one" if of_config else NOT_WHOLE
        raise PrunabilityError(f"{path}: {what} ({explain(error)})") from error
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise PrunabilityError(f"{path}: {NOT_WHOLE} ({why})") from error


def _signature(facts: bytes, columns: Mapping[str, list[Any]]) -> bytes:
    """SHA-256, in hexadecimal, over what a table says of itself and each of its columns, by name."""
    return digest([facts.decode(), {name: digest(column) for name, column in columns.items()}]).encode()


def _match(columns: Mapping[str, list[Any]], records: Sequence[Record]) -> None:
    """See that what was found matches the checksum in its row; a signature over all of them includes that.

    Raises:
        ValueError: it does not.
    """
    for record, checksum in zip(records, columns["checksum"], strict=True):
        if record.checksum != checksum:
            raise ValueError(f"run {record.config.hash} does not match its checksum")


def _agree(origin: Origin, records: Sequence[Record]) -> None:
    """See that records make a table: of one version and of the images that it names, each run once.

    Raises:
        ValueError: they do not.
    """
    if len(versions := {record.config.version for record in records}) > 1:
        raise ValueError(f"its runs are of several versions, {', '.join(map(str, sorted(versions)))}")
    if twice := [run for run, times in Counter(record.config.hash for record in records).items() if times > 1]:
        raise ValueError(f"run {twice[0]} stands in it more than once")
    if others := [record for record in records if record.config.data.checksum != origin.data.checksum]:
        raise ValueError(f"run {others[0].config.hash} is of other images than the table")


def find(results: Path, study: str, profile: str) -> Published | None:
    """The published table of a study's profile, None where there is none.

    Raises:
        PrunabilityError: it is no whole table, or one of another study or profile.
    """
    path = table_path(results, study, profile)
    if not path.exists():
        return None
    try:
        table = read(path)
    except PrunabilityError as error:
        raise PrunabilityError(f"{error}. {MEND}") from error
    if (table.origin.study, table.origin.profile) != (study, profile):
        own = f"{table.origin.study}, {table.origin.profile}"
        raise PrunabilityError(f"{path}: it is a table of {own}, not of {study}, {profile}. {MEND}")
    return table


def row_of(record: Record) -> dict[str, Any]:
    """The columns of a record: its hash and its checksum, and all its fields but those that are empty."""
    made = {"seconds": record.seconds, "environment": record.environment, "curves": record.curves}
    return {"run": record.config.hash, **_flat(record.content() | made), "checksum": record.checksum}


def _flat(raw: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, value in raw.items():
        if isinstance(value, Mapping):
            columns |= _flat(value, f"{above}{name}.")
        elif value is not None:
            columns[f"{above}{name}"] = value
    return columns


def _parts(name: str) -> list[str]:
    """The names that a column's is joined of; a measure's own may hold a point, as in absolute_0.1."""
    return name.split(".", 3 if name.startswith("measures.") else -1)


def _record(row: Mapping[str, Any], places: Mapping[str, list[str]]) -> Record:
    """The record in a row, whose columns belong at these ``places``, from the outermost name to the innermost."""
    # A diverged run has no losses, and no measures.
    raw: dict[str, Any] = {"result": dict.fromkeys(field.name for field in fields(Result)), "measures": {}}
    for name, parts in places.items():
        if (value := row[name]) is None:
            continue
        inner = raw
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        inner[parts[-1]] = value
    # As a record's text is read, types and all.
    record = SCHEMA.validate_json(json.dumps(raw))
    if record.config.hash != row["run"]:
        raise ValueError(f"run {row['run']} does not match its configuration")
    if missing := MADE_BY - record.environment.keys():
        raise ValueError(f"run {row['run']} does not say what it was made with: {', '.join(sorted(missing))}")
    return record


def _order(name: str) -> tuple[int, str]:
    heads = (
        "run",
        "data",
        "config",
        "result",
        "measures",
        "seconds",
        "environment",
        "curves",
        "weights",
        "checksum",
    )
    return heads.index(name.partition(".")[0]), name
