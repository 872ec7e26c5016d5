"""The first level of a grid whose loss is within a tolerance: exact, and far cheaper than trying all.

Cross-entropy is never negative, so a partial sum over examples that already exceeds N·t proves that a
level's mean loss exceeds t. What makes the proof short: the examples are visited hardest first, by the losses
that the levels before had on them; a level costs only as many examples as its proof needs; a level far from
the tolerance is refused by a few random examples; and where bfloat16 is faster it looks first. What its error
leaves open is evaluated in the network's own precision, again hardest first, until it is decided.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prunability.measures.chance import examples_needed, random_examples, refuted
from prunability.measures.variants import Screen, Variants, Weights, screen_of

# A slice is as long as the losses of the level before say it must be, with this margin.
MARGIN = 1.1
# How small and how large a slice may be, in what a forward pass costs however few its examples.
SMALLEST_SLICE, LARGEST_SLICE = 0.4, 12.5
# The random examples that say how many would refuse the next level; all were looked at by whatever tried that.
SMALLEST_SAMPLE = 32
# Taken for the loss of an example where that is no number.
HARDEST = 1e9
# Levels that bfloat16 is compared on.
SAMPLES = 8

Level = Callable[[], Sequence[Weights]]


@dataclass(frozen=True)
class Scan:
    """For each tolerance the index of the first admissible level, None where there is none.

    ``losses`` holds, for each admissible level found that has several draws, the mean loss of each in nats;
    ``examples`` is how many example evaluations the scan took, over all levels and draws. ``share`` is what the
    error of a sum of losses in bfloat16 was taken to be at most, of that sum; None where it was not used.
    """

    first: list[int | None]
    losses: dict[int, list[float]]
    examples: int
    share: float | None


class _Group:
    """Levels looked at side by side: the least and the most that each draw may cost on each example."""

    def __init__(self, weights: list[list[Weights]], total: int, device: torch.device) -> None:
        self.weights, self.draws = weights, len(weights[0])
        shape = (len(weights), self.draws, total)
        self.low = torch.zeros(shape, dtype=torch.float64, device=device)
        self.high = torch.full_like(self.low, torch.inf)

    def missing(self, limits: Sequence[float]) -> dict[int, float]:
        """Of the levels that some limit of the sum leaves undecided, by how much bounds have to close in on it.

        A limit that a level before is within leaves nothing undecided.
        """
        ends = torch.stack([self.low.sum(dim=(1, 2)), self.high.sum(dim=(1, 2))], dim=1).tolist()
        gaps, lowest = dict[int, float](), math.inf
        for place, (low, high) in enumerate(ends):
            if gap := [min(limit - low, high - limit) for limit in limits if low <= limit < min(high, lowest)]:
                gaps[place] = max(gap)
            lowest = min(lowest, high)
        return gaps

    def refuse(self, place: int) -> None:
        """A level is beyond every limit."""
        self.low[place] = torch.inf

    def look(
        self, variants: Variants, screen: Screen | None, places: Sequence[int], draws: slice, part: Tensor
    ) -> Tensor:
        """Evaluate some draws of some levels on some examples; returns the losses [levels, draws, examples]."""
        weights = [one for place in places for one in self.weights[place][draws]]
        losses: Tensor = variants.losses(weights, part).unflatten(0, (len(places), -1))
        low, high = screen.bounds(losses) if screen else (losses.nan_to_num(torch.inf, torch.inf),) * 2
        for place, least, most in zip(places, low, high, strict=True):
            self.low[place, draws, part], self.high[place, draws, part] = least, most
        return losses


def first_admissible(
    variants: Variants, levels: Sequence[Level], limits: Sequence[float], at_once: int | None = None
) -> Scan:
    """The first of ``levels`` whose mean loss is at most each of ``limits``; equal to trying every level.

    Args:
        variants: the network and its examples.
        levels: for each level a function that makes its variants (one, or one a random draw); a level's
            loss is the mean over its variants and all examples.
        limits: admissible mean losses in nats.
        at_once: levels evaluated side by side; by default what suits the device.
    """
    total, width, device = len(variants.labels), at_once or variants.at_once, variants.labels.device
    every = max(1, -(-len(levels) // SAMPLES))
    screen = screen_of(variants, (level()[0] for level in levels[::every]))
    first: list[int | None] = [None] * len(limits)
    unresolved = set(range(len(limits)))
    hardness = torch.ones(total, dtype=torch.float64, device=device)
    full: dict[int, list[float]] = {}
    examples = 0
    for start in range(0, len(levels), width):
        if not unresolved:
            break
        group = _Group([list(make()) for make in levels[start : start + width]], total, device)
        sums = {number: total * group.draws * limits[number] for number in unresolved}
        examples += _narrow(group, variants, screen, list(sums.values()), hardness)
        for place, weights in enumerate(group.weights):
            admitted = {number for number in unresolved if float(group.high[place].sum()) <= sums[number]}
            if admitted and group.draws > 1:
                whole = torch.equal(group.low[place], group.high[place])
                full[start + place] = (group.low[place] if whole else variants.losses(weights)).mean(dim=1).tolist()
            for number in admitted:
                first[number] = start + place
            unresolved -= admitted
    return Scan(first, full, examples, screen.share if screen else None)


def _narrow(
    group: _Group, variants: Variants, screen: Screen | None, limits: Sequence[float], hardness: Tensor
) -> int:
    """Evaluate a group until all limits of the sum of losses are decided; returns the examples it took.

    ``hardness`` [N], what each example cost before, is brought up to date.
    """
    examples, gain = _by_chance(group, variants, screen, max(limits), hardness), 1.0
    for side in [screen, None] if screen else [None]:
        looking = side.variants if side else variants
        least = group.draws if looking.batched else 1
        waiting = hardness.argsort(descending=True, stable=True)
        while len(waiting) and (missing := group.missing(limits)):
            cost = looking.pass_cost(len(missing) * group.draws)
            probed, size, _ = _cheapest(hardness[waiting] * gain, min(missing.values()), least, group.draws, cost)
            part, waiting = waiting[:size], waiting[size:]
            for chosen in (slice(0, probed), slice(probed, group.draws)):
                places = list(group.missing(limits))
                if places and chosen.start < chosen.stop:
                    losses = group.look(looking, side, places, chosen, part)
                    examples += losses.numel()
                    hardness[part] = losses[-1].mean(dim=0).nan_to_num(HARDEST, HARDEST)
        if side:  # from here on, a true loss takes the place of one that is known up to that share
            gain = side.share
    return examples


def _by_chance(group: _Group, variants: Variants, screen: Screen | None, limit: float, hardness: Tensor) -> int:
    """Refuse what levels of a group a few random examples do, if that costs less; returns how many it took.

    One draw is looked at: no sum over all draws is smaller.
    """
    mean, looking = limit / len(hardness), screen.variants if screen else variants
    cost = looking.pass_cost(len(group.weights))
    order = random_examples(len(hardness)).to(hardness.device)
    count = examples_needed(hardness[order[:SMALLEST_SAMPLE]], mean)
    *_, otherwise = _cheapest(hardness.sort(descending=True).values, limit, 1, group.draws, cost)
    if not count + cost < otherwise:
        return 0
    part, places = order[: int(count)], range(len(group.weights))
    losses = group.look(looking, screen, places, slice(0, 1), part)
    seen = losses[-1, 0].nan_to_num(HARDEST, HARDEST)
    hardness *= seen.mean() / hardness[part].mean()  # the others keep their order
    hardness[part] = seen
    for place in places:
        if refuted(group.low[place, 0, part], mean):
            group.refuse(place)
    return len(part) * len(places)


def _cheapest(expected: Tensor, missing: float, least: int, draws: int, cost: int) -> tuple[int, int, float]:
    """With how many draws, and on how many of the waiting examples, a level is most cheaply refused; for how much.

    A few draws on many examples need fewer forward passes than all draws on the hardest few.
    """
    reach = expected.cumsum(0)
    numbers = torch.arange(least, draws + 1, device=expected.device)
    sizes = torch.searchsorted(reach, missing * MARGIN / numbers.to(reach.dtype)) + 1
    costs = numbers * (cost + sizes)
    smallest, largest = (max(1, round(share * cost)) for share in (SMALLEST_SLICE, LARGEST_SLICE))
    sizes, best = sizes.clamp(smallest, largest), int(costs.argmin())
    return int(numbers[best]), int(sizes[best]), float(costs[best])
