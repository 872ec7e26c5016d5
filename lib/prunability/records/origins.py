"""What runs with an origin begin with, taken from the store, and what must be trained before them."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby

from prunability.data.dataset import Dataset
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.seeding import generator
from prunability.measures.masks import moved, smaller, static, weights_left
from prunability.measures.search import prunable
from prunability.measures.variants import Weights
from prunability.records.record import UnusableError
from prunability.records.store import RunStore
from prunability.training.config import RunConfig
from prunability.training.loop import Start, State, build
from prunability.training.origin import Static, Ticket


def start_of(config: RunConfig, store: RunStore, data: Dataset) -> Start:
    """Where a run begins: the state that its origin takes it back to, without the weights that it is to lack.

    Raises:
        PrunabilityError: a run that it comes from is not in the store with its weights, or diverged.
    """
    network = build(config, data.train_images.shape[1:], data.classes)
    state, mask = network.state_dict(), _mask(config, prunable(network), store)
    if (before := config.rewound_to) is not None:
        _, state = _weights(before, store)
    return Start({name: own * mask[name] if name in mask else own for name, own in state.items()}, mask)


def _mask(config: RunConfig, weights: Weights, store: RunStore) -> Weights:
    origin, parent = config.origin, config.pruned_from
    if isinstance(origin, Static):
        return static(weights, origin.density, generator(*config.seed_key("places")))
    if not isinstance(origin, Ticket) or parent is None:
        return {}
    initial, final = _weights(parent, store)
    mask = smaller(weights_left(initial, {name: final[name] for name in weights}), final, origin.pruned)
    return moved(mask, generator(*config.seed_key("places"), origin.round)) if origin.places == "random" else mask


def _weights(parent: RunConfig, store: RunStore) -> tuple[State, State]:
    """A parent's initial and final weights."""
    record = store.load(parent)
    if record is None:
        raise PrunabilityError(f"its parent, run {parent.hash}, is not trained in {store.folder}")
    if record.result.status == "diverged":
        raise PrunabilityError(f"its parent, run {parent.hash}, diverged: nothing can be made of it")
    return store.load_weights(record)


@lru_cache(maxsize=4096)
def generation(config: RunConfig) -> int:
    """How many runs must be trained one after another before this one."""
    return max((generation(parent) + 1 for parent in config.parents), default=0)


def generations(configs: Iterable[RunConfig]) -> list[list[RunConfig]]:
    """Runs that may be trained side by side, parents before their children."""
    return [list(same) for _, same in groupby(sorted(configs, key=generation), key=generation)]


def weightless(config: RunConfig, store: RunStore) -> bool:
    """Whether nothing can be made of a run before it is trained: it was not, or its weights are elsewhere."""
    try:
        record = store.load(config)
    except UnusableError:  # it is named where it is needed, and left
        return False
    return record is None or not store.has_weights(record)


def ancestors(configs: Iterable[RunConfig], store: RunStore) -> dict[RunConfig, None]:
    """The runs that must be trained, again where their weights are elsewhere, before others can be."""
    found: dict[RunConfig, None] = {}
    waiting = list(configs)
    while waiting:
        new = [parent for parent in waiting.pop().parents if parent not in found and weightless(parent, store)]
        found |= dict.fromkeys(new)
        waiting += new
    return found
