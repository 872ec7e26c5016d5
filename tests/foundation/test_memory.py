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


def test_what_was_made_meanwhile_is_not_what_the_next_search_begins_with() -> None:
    with uncollected():
        made = [[number] for number in range(10_000)]
    young = {id(one) for generation in (0, 1) for one in gc.get_objects(generation)}
    assert not young & {id(one) for one in made}
