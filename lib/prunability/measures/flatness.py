"""Flatness: how much Gaussian noise on the weights the training loss bears, and the PAC-Bayes bounds of it.

σ is a standard deviation throughout. w are the weights and biases of the folded network, ω of them, w⁰
those at initialisation; N is the number of training examples.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from prunability.measures.base import Estimated, Measure, measure, shared, standard_error
from prunability.measures.output import JIANG
from prunability.measures.search import HEADLINE
from prunability.measures.subject import Measurable, UndefinedMeasureError
from prunability.measures.variants import Weights

# Standard deviations tried, from the largest down, ten a decade.
SIGMAS = [10 ** (1 - step / 10) for step in range(61)]
# Every example is seen under so many draws of the noise, and every draw by one of so many parts of them.
VISITS = 5
PARTS = 8
# ε of the magnitude-aware bounds: keeps weights that are zero from counting without limit.
MAGNITUDE_OFFSET = 1e-3
# Examples of one draw that are looked at before all others: a σ far too large needs no more.
FEW = 50


def noise(run: Measurable, draw: int, magnitude_aware: bool) -> Weights:
    """Standard normal noise on each parameter, times its magnitude if ``magnitude_aware``; σ = 1."""
    draws = run.draws("weight noise", draw)
    parts = {}
    for name, tensor in run.parameters.items():
        part = torch.randn(tensor.shape, generator=draws, dtype=torch.float32).to(tensor)
        parts[name] = torch.empty_like(tensor).copy_(part * tensor.abs() if magnitude_aware else part)
    return parts


def examples_of_draws(run: Measurable) -> list[Tensor]:
    """The indices of the examples that each draw of the noise is evaluated on: random parts, all N five times.

    The loss under noise differs more from draw to draw than from example to example: forty draws on an
    eighth of the examples each cost what five draws on all do and have far less variance.
    """
    draws = run.draws("noise examples")
    count, device = len(run.data.train_labels), run.data.train_labels.device
    parts = [part for _ in range(VISITS) for part in torch.randperm(count, generator=draws).tensor_split(PARTS)]
    return [part.to(device) for part in parts if len(part)]


def grouped(parts: list[Tensor], most: int) -> list[list[int]]:
    """The places of the parts in order, in groups of one length of at most ``most``."""
    groups: list[list[int]] = []
    for place, part in enumerate(parts):
        if groups and len(groups[-1]) < most and len(parts[groups[-1][0]]) == len(part):
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


@shared
def sigma(run: Measurable, magnitude_aware: bool) -> Estimated:
    """The largest standard deviation σ with E[L(w + σ·noise)] ≤ L(w) + ε, ε the headline tolerance.

    The expectation is the mean over draws, each with its examples, that are the same for every σ. The
    largest σ of the grid that is admissible is refined by interpolating the loss, linear in σ², to the next
    larger one. The standard error is that of the mean loss at σ over the slope there.

    Raises:
        UndefinedMeasureError: every σ of the grid is within the tolerance, or none is.
    """
    seen, centre = examples_of_draws(run), run.parameters
    drawn = [noise(run, draw, magnitude_aware) for draw in range(len(seen))]
    limit = HEADLINE.limit(run.train_loss)
    total = sum(len(part) for part in seen)
    groups = grouped(seen, run.variants.side_by_side(len(seen[0])))

    def moved(draw: int, by: float) -> Weights:
        return {name: torch.add(centre[name], shift, alpha=by) for name, shift in drawn[draw].items()}

    def losses(by: float, most: float, known: Sequence[float] = ()) -> list[float]:
        """The sum of losses of each draw, in nats; no more once the mean over all exceeds ``most``."""
        sums = list(known)
        for group in groups:
            if group[0] < len(known):
                continue
            examples = torch.stack([seen[draw] for draw in group])
            sums += run.variants.losses([moved(draw, by) for draw in group], examples).sum(dim=1).tolist()
            if not sum(sums) <= most * total:
                break
        return sums

    def far() -> Iterator[bool]:
        """For each level whether a few examples of one draw cost more than all may."""
        few, together = seen[0][:FEW], run.variants.side_by_side(FEW)
        for start in range(0, len(SIGMAS), together):
            costs = run.variants.losses([moved(0, by) for by in SIGMAS[start : start + together]], few).sum(dim=1)
            yield from (costs > limit * total).tolist()

    inside: list[float] = []
    for level, (by, beyond) in enumerate(zip(SIGMAS, far(), strict=True)):  # noqa: B007  (used after the loop)
        before, inside = inside, [] if beyond else losses(by, limit)
        if inside and sum(inside) <= limit * total:
            break
    else:
        raise UndefinedMeasureError(f"not even a standard deviation of {SIGMAS[-1]:.0e} is within the tolerance")
    if level == 0:
        raise UndefinedMeasureError(f"even a standard deviation of {SIGMAS[0]:.0e} is within the tolerance")
    outside = losses(SIGMAS[level - 1], math.inf, before)
    low, high = SIGMAS[level] ** 2, SIGMAS[level - 1] ** 2
    below, above = sum(inside) / total, sum(outside) / total
    if not math.isfinite(above):
        return Estimated(math.sqrt(low), math.sqrt(low) * (1 - SIGMAS[1] / SIGMAS[0]))
    share = (limit - below) / (above - below)
    found = math.sqrt(low + share * (high - low))
    means = [
        (less + share * (more - less)) / len(part) for less, more, part in zip(inside, outside, seen, strict=True)
    ]
    return Estimated(found, standard_error(means) * (high - low) / (above - below) / (2 * found))


def propagated(function: Callable[[float], float], at: Estimated) -> Estimated:
    """A function of σ with the standard error that σ's gives it (half its change over σ's own ± interval)."""
    relative = at.standard_error / at.value
    change = function(at.value * math.exp(relative)) - function(at.value * math.exp(-relative))
    return Estimated(function(at.value), abs(change) / 2)


def vector(parameters: Weights) -> Tensor:
    """All parameters in one float64 vector [ω]."""
    return torch.cat([tensor.double().flatten() for tensor in parameters.values()])


@measure(
    Measure("pacbayes_flatness", "PAC-Bayes 1/σ²", "flatness", f"{JIANG}, eq. 53", "1/σ²"),
    Measure(
        "pacbayes_bound_from_init", "PAC-Bayes bound, from init", "flatness", f"{JIANG}, eq. 48",
        "‖w − w⁰‖²/4σ² + ln(N/σ) + 10", "nats",
    ),
    Measure(
        "pacbayes_bound_from_origin", "PAC-Bayes bound, from origin", "flatness", f"{JIANG}, eq. 49",
        "‖w‖²/4σ² + ln(N/σ) + 10", "nats",
    ),
    version=2,
)  # fmt: skip
def pacbayes(run: Measurable) -> dict[str, Estimated]:
    """1/σ² and the bounds' complexity terms, the same noise on every weight and bias.

    The loss under noise is a mean over 40 draws, each on an eighth of the examples, the same for every σ.
    Undefined where every σ from 1e-5 to 10 is within the tolerance, or none is.
    """
    found, examples = sigma(run, magnitude_aware=False), len(run.data.train_labels)
    here, start = vector(run.parameters), vector(run.initial_parameters)

    def bound(distance: float) -> Callable[[float], float]:
        return lambda s: distance / (4 * s**2) + math.log(examples / s) + 10

    return {
        "pacbayes_flatness": propagated(lambda s: s**-2, found),
        "pacbayes_bound_from_init": propagated(bound((here - start).square().sum().item()), found),
        "pacbayes_bound_from_origin": propagated(bound(here.square().sum().item()), found),
    }


@measure(
    Measure("pacbayes_magnitude_flatness", "PAC-Bayes 1/σ′² (magnitude)", "flatness", f"{JIANG}, eq. 61", "1/σ′²"),
    Measure(
        "pacbayes_magnitude_bound_from_init",
        "PAC-Bayes bound (magnitude), from init",
        "flatness",
        f"{JIANG}, eq. 56",
        "¼Σ_j ln[(ε² + (σ′² + 1)‖w − w⁰‖²/ω) / (ε² + σ′²(w_j − w_j⁰)²)] + ln(N/σ′) + 10",
        "nats",
    ),
    Measure(
        "pacbayes_magnitude_bound_from_origin",
        "PAC-Bayes bound (magnitude), from origin",
        "flatness",
        f"{JIANG}, eq. 57",
        "¼Σ_j ln[(ε² + (σ′² + 1)‖w‖²/ω) / (ε² + σ′²(w_j − w_j⁰)²)] + ln(N/σ′) + 10",
        "nats",
    ),
    version=2,
)
def pacbayes_magnitude(run: Measurable) -> dict[str, Estimated]:
    """1/σ′² and the bounds, with noise σ′ times each weight's magnitude, ε = 0.001. Undefined where σ′ is."""
    found, examples = sigma(run, magnitude_aware=True), len(run.data.train_labels)
    here, start = vector(run.parameters), vector(run.initial_parameters)
    moves, offset = (here - start).square(), MAGNITUDE_OFFSET**2

    def bound(reference: float) -> Callable[[float], float]:
        def at(s: float) -> float:
            top = offset + (s**2 + 1) * reference / len(here)
            terms = math.log(top) - (offset + s**2 * moves).log()
            return float(terms.sum()) / 4 + math.log(examples / s) + 10

        return at

    return {
        "pacbayes_magnitude_flatness": propagated(lambda s: s**-2, found),
        "pacbayes_magnitude_bound_from_init": propagated(bound(moves.sum().item()), found),
        "pacbayes_magnitude_bound_from_origin": propagated(bound(here.square().sum().item()), found),
    }
