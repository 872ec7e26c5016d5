"""What else is asked of some trained networks: curves over a disturbance, not one number that is ranked.

A study says which probes it wants of which runs; what they give is kept among a record's curves, by :func:`key`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

# Of a run, or of a run and its partner, each a ``TrainedRun``: a row of numbers.
Function = Callable[..., list[float]]


@dataclass(frozen=True)
class Probe:
    """A function of a run or, for a ``pair``, of a run and its partner. A changed one takes a new version."""

    function: Function = field(repr=False)
    version: int
    pair: bool


PROBES: dict[str, Probe] = {}


def probe(*, version: int = 1, pair: bool = False) -> Callable[[Function], Function]:
    """Register a function that returns a row of numbers, always of the same length and meaning."""

    def register(function: Function) -> Function:
        if function.__name__ in PROBES:
            raise ValueError(f"two probes are called {function.__name__}")
        PROBES[function.__name__] = Probe(function, version, pair)
        return function

    return register


def key(name: str, partner: str = "") -> str:
    """Under which name a record keeps what a probe gave; of a pair with the hash of the ``partner``."""
    return f"{name}_{PROBES[name].version}{partner and f'_{partner}'}"


def name_in(key: str) -> str | None:
    """The probe of which a record keeps something under a key, None if it is of none that is known."""
    return next((name for name, own in PROBES.items() if f"{key}_".startswith(f"{name}_{own.version}_")), None)
