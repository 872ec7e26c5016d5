"""Where a run begins that does not begin at its own initialisation, or not with all of its weights."""

from typing import Annotated, Literal

from pydantic import Field

from prunability.foundation.fields import Count, Frozen

Epoch = Annotated[int, Field(ge=0)]


class Ticket(Frozen):
    """A lottery ticket after ``round`` rounds of iterative magnitude pruning (Frankle et al. 2020).

    A round trains to the end, zeroes the smallest share ``pruned`` of the weights left, and takes the others back
    to the end of epoch ``rewind`` of the dense network, 0 being its initialisation. As controls, the weights left
    are *redrawn*, and trained from the first epoch on, or their places are *random*, as many in each layer.
    """

    kind: Literal["ticket"] = "ticket"
    round: Count
    rewind: Epoch = 0
    pruned: Annotated[float, Field(gt=0, lt=1)] = 0.2
    weights: Literal["rewound", "redrawn"] = "rewound"
    places: Literal["magnitude", "random"] = "magnitude"


class Child(Frozen):
    """Trained on from the end of an epoch of the dense network, with an order of examples and noise of its own."""

    kind: Literal["child"] = "child"
    epoch: Epoch
    order: Annotated[int, Field(ge=0)]


class Static(Frozen):
    """A random mask from the initialisation on, first and last layer dense, all others equally sparse.

    ``density`` is the share of all prunable weights that is left.
    """

    kind: Literal["static"] = "static"
    density: Annotated[float, Field(gt=0, le=1)]


Origin = Ticket | Child | Static


def before(ticket: Ticket) -> Ticket | None:
    """The ticket whose trained weights are pruned to this one; None: the dense network."""
    if ticket.round == 1:
        return None
    return Ticket(round=ticket.round - 1, rewind=ticket.rewind, pruned=ticket.pruned)


def begins(origin: Origin | None) -> int:
    """The epoch of the dense network that comes first."""
    if isinstance(origin, Ticket):
        return origin.rewind if origin.weights == "rewound" else 0
    return origin.epoch if isinstance(origin, Child) else 0


def purpose(of_dense: str, origin: Origin | None) -> str:
    """The purpose of a draw that the dense network makes for the one named: the same, or one of its own."""
    if isinstance(origin, Ticket) and origin.weights == "redrawn" and of_dense == "initialisation":
        return f"{of_dense}, redrawn in round {origin.round}"
    if isinstance(origin, Child) and of_dense in ("data order", "dropout", "augmentation"):
        return f"{of_dense}, child {origin.order}"
    return of_dense
