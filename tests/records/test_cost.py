"""What work has taken is the mean over the records that name it."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunability.records.cost import Seconds, expected

TAKEN = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1e6), max_size=4)


@given(st.lists(TAKEN, max_size=12))
def test_means_are_over_the_records_that_name_a_piece_of_work(records: list[dict[str, float]]) -> None:
    seconds = Seconds()
    for record in records:
        seconds.add(record)
    names = {name for record in records for name in record}
    expected = {name: fmean(record[name] for record in records if name in record) for name in names}
    assert seconds.means() == pytest.approx(expected)


def test_a_probe_of_pairs_takes_its_time_for_each() -> None:
    means = {"training": 100.0, "path_norm": 10.0, "barrier": 1.0}
    probes = {"barrier_1_a": ("barrier", "partner"), "barrier_1_b": ("barrier", "partner"), "new_1": ("new", None)}
    assert expected(means, ["training", "path_norm", "of no record yet"], probes) == 100 + 10
    assert expected(means, ["path_norm", *probes], probes) == 10 + 1 + 1
