import gc

import pytest

from prunability.foundation.memory import uncollected


def test_the_search_for_cycles_goes_on_as_it_was() -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
