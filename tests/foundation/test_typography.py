"""Numbers in words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunability.foundation.typography import minus, significant

RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.00"),
        (0.0105, "0.0105"),
        (2.0, "2.00"),
        (-0.95, "−0.950"),
        (826.4, "826"),
        (999.7, "1,000"),
        (1795.0, "1,800"),
        (1.71e8, "1.71·10⁸"),
        (-9.95e-5, "−9.95·10⁻⁵"),
        (math.nan, "–"),
        (-math.inf, "−∞"),
    ],
)
def test_a_number_to_three_digits(value: float, words: str) -> None:
    assert significant(value) == words


@given(st.floats(-1e300, 1e300), st.integers(2, 6))
def test_its_words_are_the_number(value: float, digits: int) -> None:
    words = significant(value, digits).replace("−", "-").replace(",", "")
    mantissa, _, power = words.partition("·10")
    read = float(f"{mantissa}e{power.translate(RAISED) or '0'}")
    assert math.isclose(read, value, rel_tol=0.51 * 10 ** (1 - digits), abs_tol=0.0)


def test_a_hyphen_in_a_word_stays() -> None:
    assert minus("L-1, 1-2, -3") == "L-1, 1-2, −3"
