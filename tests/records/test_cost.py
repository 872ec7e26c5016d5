"""What work has taken is the mean over the records that name it."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunability.records.cost import Seconds

TAKEN = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1e6), max_size=4)


@given(st.lists(TAKEN, max_size=12))
def test_means_are_over_the_records_that_name_a_piece_of_work(records: list[dict[str, float]]) -> None:
    seconds = Seconds()
    for record in records:
        seconds.add(record)
    names = {name for record in records for name in record}
    expected = {name: fmean(record[name] for record in records if name in record) for name in names}
    assert seconds.means() == pytest.approx(expected)
