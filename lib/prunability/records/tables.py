"""Tables of finished runs, published or carried from store to store: lossless but for the weights.

A row is a run, its columns the fields of its record.

What was found has a checksum in its row. A table has one over all that is in it, in its metadata: over seconds,
environment, curves, names and the order of rows too. Tables from before that was written lack it and are read all
the same, for what is published stays the file that it is; all other checks are made of them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet
from pydantic import TypeAdapter, ValidationError

from prunability.data.images import TITLES, DataFacts
from prunability.foundation.errors import PrunabilityError, explain
from prunability.foundation.execution import PACKAGE
from prunability.foundation.files import canonical, digest, replacing
from prunability.foundation.memory import uncollected
from prunability.records.columns import AT_ONCE, columns_of, texts
from prunability.records.record import SCHEMA, Record
from prunability.training.config import VERSION

METADATA, SIGNATURE = b"prunability", b"prunability.sha256"
# What a record must say of how it was made.
MADE_BY = {"data", "device", "machine", "python", "torch"}
MEND = "Restore it, or export it anew"
# The fields of a record that its checksum is of.
CONTENT = {"config", "result", "measures", "weights"}
# The columns of a row that are no fields of its record.
OF_ROWS = ["run", "data", "checksum"]
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
    """Write a table, atomically; the same records give the same bytes.

    Raises:
        PrunabilityError: the records make no table that :func:`read` would take.
    """
    runs = [record.config.hash for record in table.records]
    try:
        _tell(runs, table.records)
        _agree(table.origin, runs, table.records)
    except ValueError as error:
        raise PrunabilityError(f"{path} is not written: {error}") from error
    with uncollected():
        columns = columns_of(table.records)
    columns["run"] = runs
    columns["data"] = [table.origin.data.title] * len(table.records)
    made = pa.table(columns)
    made = made.append_column("checksum", [_checksums(made)])
    made = made.select(sorted(made.column_names, key=_order))
    facts = json.dumps(asdict(table.origin) | {"data": table.origin.data._asdict()}, ensure_ascii=False).encode()
    written = made.replace_schema_metadata({METADATA: facts, SIGNATURE: _signature(facts, made)})
    repeated = [field.name for field in made.schema if not pa.types.is_floating(field.type)]
    with replacing(path) as partial:
        parquet.write_table(written, partial, compression="zstd", use_dictionary=repeated)


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
        metadata = content.schema.metadata or {}
        if METADATA not in metadata:
            raise ValueError("it does not say which study it is of")
        if SIGNATURE in metadata and metadata[SIGNATURE] != _signature(metadata[METADATA], content):
            raise ValueError("its content does not match its checksum: it was edited or damaged")
        origin = ORIGIN.validate_json(metadata[METADATA])
        if lacking := [name for name in OF_ROWS if name not in content.column_names]:
            raise KeyError(*lacking)
        runs = content["run"].to_pylist()
        with uncollected():
            batches = content.drop_columns(OF_ROWS).to_batches(max_chunksize=AT_ONCE)
            # As a record's text is read, types and all.
            records = tuple(SCHEMA.validate_json(text) for batch in batches for text in texts(batch))
        _are(runs, records)
        _tell(runs, records)
        if SIGNATURE not in metadata:
            _match(content["checksum"].to_pylist(), records)
        _agree(origin, runs, records)
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


def is_table(path: Path) -> bool:
    """Whether a file says that it is a table of runs; it need not be whole."""
    try:
        return METADATA in (parquet.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _checksums(table: pa.Table) -> list[str]:
    """The checksum of what was found in each row, as :attr:`Record.checksum`."""
    content = table.select([name for name in table.column_names if name.partition(".")[0] in CONTENT])
    batches = content.to_batches(max_chunksize=AT_ONCE)
    return [hashlib.sha256(text.encode()).hexdigest() for batch in batches for text in texts(batch)]


def _signature(facts: bytes, table: pa.Table) -> bytes:
    """SHA-256, in hexadecimal, over what a table says of itself and each of its columns, by name.

    Columns count as they stand in the table, where a whole number among broken ones is broken too.
    """
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        total = hashlib.sha256()
        _add(total, column.combine_chunks())
        columns[name] = total.hexdigest()
    return digest([facts.decode(), columns]).encode()


def _add(total: "hashlib._Hash", column: pa.Array) -> None:
    """Add to a checksum a column's type, which of its values are there, and these, however Arrow holds them."""
    there, listed = column.drop_null(), pa.types.is_list(column.type)
    # Arrow calls what is in a list by several names.
    total.update(canonical(["list" if listed else str(column.type), len(column)]))
    total.update(column.is_valid().to_numpy(zero_copy_only=False).tobytes())
    if listed:
        total.update(there.value_lengths().to_numpy().tobytes())
        _add(total, there.flatten())
    elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        total.update(there.to_numpy().tobytes())
    else:
        total.update(canonical(there.to_pylist()))


def _match(checksums: Sequence[str], records: Sequence[Record]) -> None:
    """See that what was found matches the checksum in its row; a signature over all of them includes that.

    Raises:
        ValueError: it does not.
    """
    for record, checksum in zip(records, checksums, strict=True):
        if record.checksum != checksum:
            raise ValueError(f"run {record.config.hash} does not match its checksum")


def _are(runs: Sequence[str], records: Sequence[Record]) -> None:
    """See that rows are of the runs that they name.

    Raises:
        ValueError: they are not.
    """
    for run, record in zip(runs, records, strict=True):
        if record.config.hash != run:
            raise ValueError(f"run {run} does not match its configuration")


def _tell(runs: Sequence[str], records: Sequence[Record]) -> None:
    """See that rows say how they were made.

    Raises:
        ValueError: they do not.
    """
    for run, record in zip(runs, records, strict=True):
        if missing := MADE_BY - record.environment.keys():
            raise ValueError(f"run {run} does not say what it was made with: {', '.join(sorted(missing))}")


def _agree(origin: Origin, runs: Sequence[str], records: Sequence[Record]) -> None:
    """See that records make a table: of one version and of the images that it names, each run once.

    Raises:
        ValueError: they do not.
    """
    if len(versions := {record.config.version for record in records}) > 1:
        raise ValueError(f"its runs are of several versions, {', '.join(map(str, sorted(versions)))}")
    if twice := [run for run, times in Counter(runs).items() if times > 1]:
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
