"""Where a run begins that does not begin at its own initialisation, or not with all of its weights."""

from typing import Annotated, Literal

from pydantic import Field

from prunability.foundation.fields import Count, Frozen

Epoch = Annotated[int, Field(ge=0)]


class Ticket(Frozen):
    """A lottery ticket after ``round`` rounds of iterative magnitude pruning (Frankle et al. 2020).

    A round trains to the end, zeroes the smallest share ``pruned`` of the weights left, and takes the others back
    to the end of epoch ``rewind`` of the dense network, 0 being its initialisation. As controls, the weights left
    are *redrawn*, or their places are *random*, as many in each layer.
    """

    kind: Literal["ticket"] = "ticket"
    round: Count
    rewind: Epoch = 0
    pruned: Annotated[float, Field(gt=0, lt=1)] = 0.2
    weights: Literal["rewound", "redrawn"] = "rewound"
    places: Literal["magnitude", "random"] = "magnitude"

    @property
    def before(self) -> "Ticket | None":
        """The ticket whose trained weights are pruned; None: the dense network."""
        if self.round == 1:
            return None
        return Ticket(round=self.round - 1, rewind=self.rewind, pruned=self.pruned)

    @property
    def begins(self) -> int:
        """The epoch that comes first; weights drawn anew are trained from the first one on."""
        return self.rewind if self.weights == "rewound" else 0

    def purpose(self, of_dense: str) -> str:
        """The purpose of a draw that the dense network makes for the one named: the same, or one of its own."""
        own = of_dense == "initialisation" and self.weights == "redrawn"
        return f"{of_dense}, redrawn in round {self.round}" if own else of_dense


class Child(Frozen):
    """Trained on from the end of an epoch of the dense network, with an order of examples and noise of its own."""

    kind: Literal["child"] = "child"
    epoch: Epoch
    order: Annotated[int, Field(ge=0)]

    @property
    def begins(self) -> int:
        """The epoch that comes first."""
        return self.epoch

    def purpose(self, of_dense: str) -> str:
        """As that of a :class:`Ticket`."""
        own = of_dense in ("data order", "dropout", "augmentation")
        return f"{of_dense}, child {self.order}" if own else of_dense


class Static(Frozen):
    """A random mask from the initialisation on, first and last layer dense, all others equally sparse.

    ``density`` is the share of all prunable weights that is left.
    """

    kind: Literal["static"] = "static"
    density: Annotated[float, Field(gt=0, le=1)]

    @property
    def begins(self) -> int:
        """The epoch that comes first."""
        return 0

    def purpose(self, of_dense: str) -> str:
        """As that of a :class:`Ticket`."""
        return of_dense


Origin = Ticket | Child | Static
