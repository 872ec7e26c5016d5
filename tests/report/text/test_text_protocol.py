"""What is fixed beforehand is said as it is used."""

import pytest

from prunability.report.text import protocol


@pytest.mark.parametrize(
    ("sentence", "constant", "value", "expected"),
    [
        (protocol.prunability, "RESOLUTION", 777, "G = 777"),
        (protocol.prunability, "RANDOM_DRAWS", 77, "77 orders"),
        (protocol.intervals, "CONFIDENCE", 0.77, "77%"),
        (protocol.intervals, "RESAMPLES", 7777, "7,777 resamples of whole settings"),
        (protocol.intervals, "SEED_RESAMPLES", 7777, "of 7,777 resamples of the runs"),
        (protocol.double_descent, "INTERPOLATES", 0.07, "at most 7%"),
        (protocol.double_descent, "STANDARD_ERRORS", 7, "more than 7 standard errors"),
    ],
)
def test_each_number_is_the_codes(  # type: ignore[no-untyped-def]
    sentence, constant: str, value: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert expected not in sentence()
    monkeypatch.setattr(protocol, constant, value)
    assert expected in sentence()
