"""Records as columns, and rows of columns as the JSON that records are read from and signed by.

A row is a run. Columns are the fields of its record, nested names joined by points: ``config.network.width``,
``result.test_loss``, ``measures.path_norm.values.path_norm``. A field that a record lacks is null.

The JSON of a row is the canonical one. It is made of many rows at once: each number becomes text in Arrow, and rows
that lack the same fields are set in one form.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prunability.foundation.files import canonical
from prunability.records.record import Measured, Record
from prunability.training.course import Result

# Rows that are turned at a time, for their text takes more room than they do.
AT_ONCE = 1_000
# Between these Arrow writes a number that is not whole as Python does, several times as fast.
ALIKE = 1e-4, 1e10
# The place of a column in a form, as JSON has it.
PLACE = re.compile(r'"\\u0000(\d+)"')


def columns_of(records: Sequence[Record]) -> dict[str, list[Any]]:
    """All that stands in records, by the name of its column."""
    columns = defaultdict[str, list[Any]](lambda: [None] * len(records))
    for start in range(0, len(records), AT_ONCE):
        some = records[start : start + AT_ONCE]
        for field in fields(Record):
            values = [getattr(record, field.name) for record in some]
            if field.name == "config":
                values = [config.model_dump() for config in values]
            for name, column in _flat(field.name, values):
                columns[name][start : start + len(some)] = column
    return columns


def _flat(name: str, values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    known = next((value for value in values if value is not None), None)
    if isinstance(known, dict):
        for inner in dict.fromkeys(chain.from_iterable(value for value in values if value)):
            yield from _flat(f"{name}.{inner}", [value.get(inner) if value else None for value in values])
    elif isinstance(known, Result | Measured):
        for inner in known.__slots__:
            yield from _flat(f"{name}.{inner}", [getattr(value, inner, None) for value in values])
    elif known is not None:
        yield name, values


def texts(rows: pa.RecordBatch) -> Iterator[str]:
    """The canonical JSON of each row, in which a field that is null is left out.

    A record's result says null of what a diverged run has not, and each of its measures why it has no value.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value is of a kind that is in no record.
    """
    names = rows.schema.names
    there = np.array([column.is_valid().to_numpy(zero_copy_only=False) for column in rows], bool)
    alike = defaultdict[bytes, list[int]](list)
    for at, has in enumerate(np.ascontiguousarray(there.reshape(len(names), rows.num_rows).T)):
        alike[has.tobytes()].append(at)
    order = np.array([*chain.from_iterable(alike.values())], int)
    columns = [_json(name, column) for name, column in zip(names, rows.take(pa.array(order)), strict=True)]
    found, start = np.empty(rows.num_rows, object), 0
    for own in alike.values():
        form = _form([(name, place) for place, name in enumerate(names) if there[place, own[0]]])
        # Between each two pieces of text is the place of a column.
        parts = [columns[int(part)].slice(start, len(own)) if odd % 2 else part for odd, part in enumerate(form)]
        found[own] = pc.binary_join_element_wise(*parts, "").to_pylist() if len(parts) > 1 else form[0]
        start += len(own)
    yield from found


def _form(places: Sequence[tuple[str, int]]) -> list[str]:
    """The JSON of the whole, split at the places of the columns, from the names and places of those there."""
    whole: dict[str, Any] = {}
    for name, place in places:
        *above, last = name.split(".", 3 if name.startswith("measures.") else -1)
        inner = whole
        for part in above:
            inner = inner.setdefault(part, {})
            if isinstance(inner, str):
                raise ValueError(f"{name}: there is a column {part} too")
        if last in inner:
            raise ValueError(f"{name}: there is more than one such column")
        inner[last] = f"\0{place}"
    if isinstance(result := whole.get("result"), dict):
        whole["result"] = dict.fromkeys(Result.__slots__) | result
        whole.setdefault("measures", {})
    for name, measured in whole.get("measures", {}).items():
        whole["measures"][name] = {"standard_errors": {}, "undefined": None, "values": {}} | measured
    return PLACE.split(canonical(whole).decode())


def _json(name: str, column: pa.Array) -> pa.Array:
    """The JSON of each value of a column, null where there is none."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _lists(name, column)
    if pa.types.is_floating(column.type):
        return _numbers(name, column.cast(pa.float64()))
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    each = [canonical(value).decode() for value in encoded.dictionary.to_pylist()]
    return pa.array(each, pa.string()).take(encoded.indices)


def _lists(name: str, column: pa.Array) -> pa.Array:
    values = pc.fill_null(_json(name, column.flatten()), "null")
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(column), 0)).cast(pa.int32())
    lists = pa.ListArray.from_arrays(pa.concat_arrays([pa.array([0], pa.int32()), ends]), values)
    each = pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", "")
    return pc.if_else(column.is_valid(), each, pa.scalar(None, pa.string()))


def _numbers(name: str, column: pa.Array) -> pa.Array:
    values = column.fill_null(ALIKE[1] / 3).to_numpy()
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: a number in it is not finite")
    each, size = column.cast(pa.string()), np.abs(values)
    others = (size < ALIKE[0]) | (size >= ALIKE[1]) | (values == np.floor(values))
    return pc.replace_with_mask(
        each, pa.array(others), pa.array([*map(repr, values[others].tolist())], pa.string())
    )
