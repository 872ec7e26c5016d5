"""Records as columns, and the JSON of rows."""

import hashlib
import math
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunability.foundation.files import canonical
from prunability.records.columns import columns_of, texts
from prunability.records.record import SCHEMA, Measured, Record
from prunability.training.config import MLPConfig, RunConfig
from prunability.training.course import Result

NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-5, 1e-3) | st.integers(-3, 3).map(float)
MAYBE = st.none() | NUMBER
LOSS, SHARE = st.none() | NUMBER.map(abs), st.none() | st.floats(0, 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
# A name in a record; a point in one is between two, but for those of measures.
NAME = st.text(st.sampled_from('ab%"\\é{'), min_size=1, max_size=2)
NUMBERS = st.dictionaries(st.sampled_from(["one", "two_0.1"]), NUMBER)
MEASURED = st.builds(Measured, st.integers(1, 3), NUMBERS, st.none() | TEXT, NUMBERS)
RESULT = st.builds(
    Result,
    st.sampled_from(["converged", "not converged", "diverged"]),
    TEXT,
    st.integers(0, 9),
    st.integers(0, 9),
    MAYBE,
    LOSS,
    SHARE,
    LOSS,
    SHARE,
    st.lists(st.tuples(MAYBE, MAYBE), max_size=3),
)


@st.composite
def records(draw: st.DrawFn, run: RunConfig) -> Record:
    network = draw(st.sampled_from([run.network, MLPConfig(width=3)]))
    config = run.model_copy(update={"network": network, "seed": draw(st.integers(0, 2**63 - 1))})
    return Record(
        config,
        draw(RESULT),
        draw(st.dictionaries(NAME, MEASURED, max_size=2)),
        draw(TEXT),
        draw(st.dictionaries(NAME, NUMBER, max_size=2)),
        draw(st.dictionaries(NAME, TEXT, max_size=2)),
        draw(st.dictionaries(NAME, st.lists(NUMBER, max_size=3), max_size=2)),
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), cut=st.integers(0, 2))
def test_rows_are_the_records_that_they_are_of(data: st.DataObject, small_run: RunConfig, cut: int) -> None:
    """Byte by byte in what is signed, whatever a record has or lacks, also in the middle of a table."""
    made = data.draw(st.lists(records(small_run), min_size=2, max_size=4))
    table = pa.table(columns_of(made))
    rows = [text for batch in table.slice(cut).to_batches() for text in texts(batch)]
    assert [SCHEMA.validate_json(row) for row in rows] == made[cut:]
    heads = ("config", "result", "measures", "weights")
    signed = table.select([name for name in table.column_names if name.split(".")[0] in heads])
    found = [text.encode() for batch in signed.to_batches() for text in texts(batch)]
    assert found == [canonical(record.content()) for record in made]
    assert [hashlib.sha256(text).hexdigest() for text in found] == [record.checksum for record in made]


@settings(max_examples=100, deadline=None)
@given(numbers=st.lists(MAYBE, min_size=1), start=st.integers(0, 5))
def test_numbers_are_written_as_python_does(numbers: list[float | None], start: int) -> None:
    (batch,) = pa.table({"a": numbers, "b": [1] * len(numbers)}).slice(start).to_batches() or [pa.record_batch({})]
    expected = [{"b": 1} if number is None else {"a": number, "b": 1} for number in numbers[start:]]
    assert [*texts(batch)] == [canonical(row).decode() for row in expected]


@pytest.mark.parametrize(
    "number", [1e-4, 9.999999999999999e-05, 1.5e10, 9999999999.5, 1e15, 1e16, 5e-324, -0.0, 1e22]
)
def test_numbers_at_the_edges_are_written_as_python_does(number: float) -> None:
    (batch,) = pa.table({"a": [number], "b": [[[number, None], []]]}).to_batches()
    assert [*texts(batch)] == [canonical({"a": number, "b": [[number, None], []]}).decode()]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("inside", [lambda number: number, lambda number: [0.5, number], lambda number: [[number]]])
def test_what_is_no_number_is_refused_by_name(number: float, inside: object) -> None:
    (batch,) = pa.table({"a.b": [inside(number)]}).to_batches()  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"a\.b: a number in it is not finite"):
        [*texts(batch)]


def test_columns_that_contradict_each_other_are_refused() -> None:
    for names in (["a", "a.b"], ["a.b", "a"], ["a", "a"]):
        batch = pa.record_batch([pa.array([1]), pa.array([2])], names=names)
        with pytest.raises(ValueError, match=r"^a(\.b)?: there is"):
            [*texts(batch)]


def test_records_of_many_pieces_are_in_their_rows(small_run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only some have is null in the others."""
    monkeypatch.setattr("prunability.records.columns.AT_ONCE", 2)
    result = Result("converged", "", 1, 1, 0.1, 0.1, 0.0, 0.2, 0.1, [])
    first = Record(small_run, result, {}, "0")
    made = [first, first, first, replace(first, seconds={"training": 2.0}), first]
    assert columns_of(made)["seconds.training"] == [None, None, None, 2.0, None]
    assert columns_of(made)["weights"] == ["0"] * 5
