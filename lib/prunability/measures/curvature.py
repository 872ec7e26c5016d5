"""The Hessian of the training loss L in the weights and biases of the folded network: top and trace."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from prunability.measures.base import Estimated, Measure, measure
from prunability.measures.flatness import grouped, vector
from prunability.measures.sharpness import ascent, differentiable
from prunability.measures.subject import Measurable, UndefinedMeasureError
from prunability.measures.variants import Weights
from prunability.training.loop import evaluation_batch

# Lanczos stops once the residual is this share of the eigenvalue: then an eigenvalue lies within as much.
RESIDUAL = 0.05
MOST_STEPS = 100
PROBES = 2
# Examples whose gradients are summed before they are squared, and the fewest such groups.
GROUP = 50
LEAST_GROUPS = 20


def hessian_vector(run: Measurable, parameters: Weights, direction: Tensor) -> Tensor:
    """H·v, float64 [ω], by differentiating the gradient (Pearlmutter 1994)."""
    images, labels = run.data.train_images, run.data.train_labels
    pieces = direction.split([tensor.numel() for tensor in parameters.values()])
    shaped = [piece.view(t.shape).to(t) for piece, t in zip(pieces, parameters.values(), strict=True)]
    total = torch.zeros_like(direction)
    batch = evaluation_batch(images, gradients=True)
    for some, their in zip(images.split(batch), labels.split(batch), strict=True):
        loss = F.cross_entropy(functional_call(run.folded, parameters, (some,)), their, reduction="sum")
        own = list(parameters.values())
        # A parameter that the network does not use has no gradient, and 0 in every product.
        gradients = torch.autograd.grad(loss, own, create_graph=True, allow_unused=True)
        used = [(slope, piece) for slope, piece in zip(gradients, shaped, strict=True) if slope is not None]
        slopes, along = zip(*used, strict=True)
        products = torch.autograd.grad(slopes, own, along, allow_unused=True, materialize_grads=True)
        total += torch.cat([product.double().flatten() for product in products])
    return total / len(labels)


@measure(
    Measure("hessian_trace", "Hessian trace", "flatness", "Hutchinson 1990; Yao et al. 2020", "tr ∇²L(w)", "nats")
)
def hessian_trace(run: Measurable) -> dict[str, Estimated]:
    """The trace, with the standard error over random probes. Defined on every network.

    The logits z are piecewise linear in every single weight and bias, so the trace is that of the
    Gauss-Newton matrix, the mean over examples of tr(JᵀAJ) with J = ∂z/∂w and A = diag(p) − ppᵀ. Since
    A = BBᵀ with B = diag(√p) − p√pᵀ, it is E‖JᵀBε‖² for random signs ε. Signs of different examples are
    independent, so gradients are summed over a group of examples before they are squared: with groups of
    50 one probe is as exact as N/50 probes of the whole training set. The noise is in products of two
    examples of a group; the least sure examples, whose gradients are largest, go to different groups.
    """
    run.piecewise_linear()
    images = run.data.train_images
    shape = (PROBES, len(images), run.data.classes)
    signs = torch.randint(2, shape, generator=run.draws("trace probes")) * 2 - 1
    signs = signs.to(run.train_logits)
    sureness = run.train_logits.softmax(1).gather(1, run.data.train_labels[:, None])[:, 0]
    order, count = sureness.argsort(stable=True), min(len(images), max(LEAST_GROUPS, len(images) // GROUP))
    parts = [order[start::count] for start in range(count)]
    together = grouped(parts, run.variants.side_by_side(len(parts[0]), gradients=True))
    squares = [squared_gradients(run, torch.stack([parts[one] for one in some]), signs) for some in together]
    # Groups are independent: the variance of their sum is the sum of their variances over probes.
    estimates = torch.cat(squares) / len(images)
    variance = estimates.var(dim=1).sum().item() / PROBES
    return {"hessian_trace": Estimated(estimates.mean(dim=1).sum().item(), math.sqrt(variance))}


def squared_gradients(run: Measurable, groups: Tensor, signs: Tensor) -> Tensor:
    """‖JᵀBε‖², summed over the examples of each group before it is squared, float64 [groups, probes].

    Args:
        run: the network.
        groups: indices of examples [groups, examples]; several groups are computed as a fleet.
        signs: ε, [probes, N, classes].
    """
    if len(groups) == 1:
        parameters = differentiable(run.parameters)
        outputs = functional_call(run.folded, parameters, (run.data.train_images[groups[0]],))[None]
    else:
        copies = {name: t.expand(len(groups), *t.shape) for name, t in run.variants.tensors.items()}
        parameters = differentiable({name: copies[name] for name in run.parameters})
        images = run.data.train_images[groups].movedim(1, -1)
        outputs = functional_call(run.folded, copies | parameters, (images,)).mT
    p = outputs.detach().double().softmax(2)
    squares = []
    for probe in range(PROBES):
        scaled = p.sqrt() * signs[probe, groups]
        cotangent = (scaled - p * scaled.sum(2, keepdim=True)).to(outputs)
        found = torch.autograd.grad(
            outputs,
            list(parameters.values()),
            cotangent,
            retain_graph=probe < PROBES - 1,
            allow_unused=True,
            materialize_grads=True,
        )
        # One group's sum is over a tensor as it lies in memory: its bits are those of earlier records.
        own = [part.double().square() for part in found]
        sums = [part.sum()[None] if len(groups) == 1 else part.flatten(1).sum(1) for part in own]
        squares.append(torch.stack(sums, dim=1).sum(1))
    return torch.stack(squares, dim=1)


@measure(
    Measure(
        "hessian_top_eigenvalue",
        "Hessian top eigenvalue",
        "flatness",
        "Keskar et al. 2017; Yao et al. 2020",
        "λ_max(∇²L(w))",
        "nats",
    )
)
def hessian_top_eigenvalue(run: Measurable) -> dict[str, float]:
    """The largest eigenvalue, by Lanczos, to a few percent: where two lie closer, it may be the second.

    It starts from the gradient at the last corner of the ascent to the worst case, which lies mostly along
    the top eigenvectors, or from noise where that gradient vanishes. The value is 0 for a network without
    curvature. Undefined if 100 steps do not converge.
    """
    parameters, start = differentiable(run.parameters), vector(ascent(run).slope)
    if not start.norm() > 0:
        draws = run.draws("Lanczos start")
        start = torch.randn(len(start), generator=draws, dtype=torch.float64).to(start)
    return {"hessian_top_eigenvalue": top_eigenvalue(partial(hessian_vector, run, parameters), start)}


def top_eigenvalue(product: Callable[[Tensor], Tensor], start: Tensor) -> float:
    """The largest eigenvalue of a symmetric operator on vectors [n], by Lanczos, fully reorthogonalised.

    Raises:
        UndefinedMeasureError: 100 steps did not converge.
    """
    basis: list[Tensor] = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(MOST_STEPS, len(start))):
        following = product(basis[-1])
        diagonal.append(float(following @ basis[-1]))
        for _ in range(2):  # once more, for what rounding leaves
            for known in basis:
                following = following - (following @ known) * known
        norm = float(following.norm())
        tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        if beside:
            off = torch.diag(torch.tensor(beside, dtype=torch.float64), 1)
            tridiagonal += off + off.T
        values, vectors = torch.linalg.eigh(tridiagonal)
        top, residual = float(values[-1]), norm * abs(float(vectors[-1, -1]))
        if residual <= RESIDUAL * abs(top) or len(basis) == len(start):
            return top
        beside.append(norm)
        basis.append(following / norm)
    raise UndefinedMeasureError(f"Lanczos did not converge in {MOST_STEPS} steps")
