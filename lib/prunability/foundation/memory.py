"""Memory: making very many small objects that live on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's search for cycles, which looks at all that lives, again and again, while much is made.

    For what has no cycles: it is freed without that search.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            # What was made is of the oldest generation at once: the next search does not begin with all of it.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
