"""σ, the bounds, the Hessian and sharpness against fine grids, explicit matrices and enumeration."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, hessian
from torch.nn import functional as F

from prunability.config import DataConfig, MLPConfig, RunConfig, TrainingConfig
from prunability.data import Dataset
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.measures.bounds import dropout_bound
from prunability.measures.curvature import RESIDUAL, hessian_trace, hessian_vector, top_eigenvalue
from prunability.measures.flatness import PARTS, SIGMAS, VISITS, examples_of_draws, noise, propagated, sigma
from prunability.measures.sharpness import RADII, differentiable, worst_case_sharpness
from prunability.pruning import HEADLINE
from prunability.seeding import generator
from prunability.training import train
from test_measures import value


def losses_under_noise(run: TrainedRun, magnitude_aware: bool) -> Callable[[float], list[float]]:
    """For a standard deviation the losses of all pairs of a draw and an example, with plain forward passes."""
    state = {name: tensor.clone() for name, tensor in run.folded.state_dict().items()}
    drawn = []
    for draw, part in enumerate(examples_of_draws(run)):
        draws, parts = generator(run.config.hash, "weight noise", draw), {}
        for name, tensor in run.folded.named_parameters():
            z = torch.randn(tensor.shape, generator=draws).double()
            parts[name] = z * tensor.detach().abs() if magnitude_aware else z
        drawn.append((parts, part.tolist()))

    def losses(s: float) -> list[float]:
        found = []
        for parts, members in drawn:
            moved = {name: t + s * parts[name] if name in parts else t for name, t in state.items()}
            with torch.no_grad():
                outputs = functional_call(run.folded, moved, (run.data.train_images,))
            every = F.cross_entropy(outputs, run.data.train_labels, reduction="none").tolist()
            found += [every[member] for member in members]
        return found

    return losses


def test_every_example_meets_the_noise_equally_often(trained: TrainedRun) -> None:
    seen = torch.cat(examples_of_draws(trained))
    assert seen.bincount().tolist() == [VISITS] * 120
    assert len(examples_of_draws(trained)) == VISITS * PARTS


@pytest.mark.parametrize("magnitude_aware", [False, True])
@pytest.mark.parametrize("architecture", ["trained", "mlp", "resnet"])
def test_sigma(architecture: str, magnitude_aware: bool, request: pytest.FixtureRequest) -> None:
    """The largest σ within the tolerance, on a grid of half a percent below the first coarse one that is."""
    run: TrainedRun = request.getfixturevalue(architecture)
    losses, limit = losses_under_noise(run, magnitude_aware), HEADLINE.limit(run.train_loss)

    def admissible(s: float) -> bool:
        found = losses(s)
        return math.fsum(found) / len(found) <= limit

    coarse = next(k for k, s in enumerate(SIGMAS) if admissible(s))
    fine = SIGMAS[coarse - 1] * 0.995 ** np.arange(60)
    expected = next(s for s in fine if admissible(s))
    found = sigma(run, magnitude_aware=magnitude_aware)
    assert found.value == pytest.approx(expected, rel=0.03)
    name = "pacbayes_magnitude_flatness" if magnitude_aware else "pacbayes_flatness"
    assert value(run, name) == pytest.approx(found.value**-2, rel=1e-12)


def test_standard_error_of_sigma(trained: TrainedRun) -> None:
    """Against the spread of the draws' losses at σ over the slope there, by finite differences."""
    losses, found = losses_under_noise(trained, False), sigma(trained, magnitude_aware=False)
    sizes = [len(part) for part in examples_of_draws(trained)]
    here = [part.mean() for part in np.split(np.array(losses(found.value)), np.cumsum(sizes)[:-1])]
    step = 0.05 * found.value
    slope = (np.mean(losses(found.value + step)) - np.mean(losses(found.value - step))) / (2 * step)
    expected = np.std(here, ddof=1) / math.sqrt(len(here)) / slope
    assert found.standard_error == pytest.approx(expected, rel=0.25)


def test_standard_error_covers_other_draws(mlp: TrainedRun) -> None:
    """Other seeds give other draws: their σ spread as the standard error says."""
    values, errors = [], []
    for seed in range(12):
        run = replace(mlp, config=mlp.config.model_copy(update={"seed": seed}))
        run.cache.clear()
        found = sigma(run, magnitude_aware=False)
        values.append(found.value)
        errors.append(found.standard_error)
    ratio = float(np.std(values, ddof=1)) / float(np.sqrt(np.mean(np.square(errors))))
    assert 0.4 < ratio < 2


def test_noise_is_a_standard_deviation(trained: TrainedRun) -> None:
    flat = torch.cat([part.flatten() for part in noise(trained, 0, magnitude_aware=False).values()])
    assert flat.std().item() == pytest.approx(1, abs=4 / (2 * len(flat)) ** 0.5)
    aware = noise(trained, 0, magnitude_aware=True)
    ratio = torch.cat([(aware[name] / t).flatten() for name, t in trained.parameters.items() if (t != 0).all()])
    assert ratio.std().item() == pytest.approx(1, abs=4 / (2 * len(ratio)) ** 0.5)


def test_standard_errors_propagate() -> None:
    cubic = propagated(lambda s: s**3, Estimated(2.0, 0.001))
    assert cubic.value == 8
    assert cubic.standard_error == pytest.approx(3 * 2.0**2 * 0.001, rel=1e-4)


@pytest.mark.parametrize("architecture", ["trained", "mlp", "resnet"])
def test_pacbayes_bounds_by_hand(architecture: str, request: pytest.FixtureRequest) -> None:
    run: TrainedRun = request.getfixturevalue(architecture)
    here = [x for t in run.folded.parameters() for x in t.flatten().tolist()]
    start = [x for t in run.folded_initial.parameters() for x in t.flatten().tolist()]
    n, moved = len(run.data.train_labels), math.fsum((x - y) ** 2 for x, y in zip(here, start, strict=True))
    norm = math.fsum(x * x for x in here)
    s = sigma(run, magnitude_aware=False).value
    for name, reference in (("init", moved), ("origin", norm)):
        expected = reference / (4 * s * s) + math.log(n / s) + 10
        assert value(run, f"pacbayes_bound_from_{name}") == pytest.approx(expected, rel=1e-9)
    s = sigma(run, magnitude_aware=True).value
    for name, reference in (("init", moved), ("origin", norm)):
        top = 1e-6 + (s * s + 1) * reference / len(here)
        terms = [math.log(top / (1e-6 + s * s * (x - y) ** 2)) for x, y in zip(here, start, strict=True)]
        expected = math.fsum(terms) / 4 + math.log(n / s) + 10
        assert value(run, f"pacbayes_magnitude_bound_from_{name}") == pytest.approx(expected, rel=1e-9)


def explicit_hessian(run: TrainedRun) -> Tensor:
    parameters = {name: t.detach() for name, t in run.folded.named_parameters()}
    sizes = [t.numel() for t in parameters.values()]

    def loss(flat: Tensor) -> Tensor:
        pieces = zip(parameters.items(), flat.split(sizes), strict=True)
        moved = {name: piece.view(t.shape) for (name, t), piece in pieces}
        return F.cross_entropy(functional_call(run.folded, moved, (run.data.train_images,)), run.data.train_labels)

    flat = torch.cat([t.flatten() for t in parameters.values()])
    found: Tensor = hessian(loss)(flat)
    return found


def test_lanczos_on_matrices_with_known_spectra() -> None:
    draws = torch.Generator().manual_seed(0)
    for size in (1, 2, 40):
        vectors = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=draws))[0]
        values = torch.linspace(-5, 3, size, dtype=torch.float64)
        matrix, start = vectors @ torch.diag(values) @ vectors.T, torch.ones(size, dtype=torch.float64)
        assert top_eigenvalue(matrix.mv, start) == pytest.approx(values[-1].item(), rel=RESIDUAL)
    assert top_eigenvalue(torch.zeros_like, torch.ones(5, dtype=torch.float64)) == 0


@pytest.mark.parametrize("architecture", ["mlp", "tiny_nin"])
def test_hessian(architecture: str, request: pytest.FixtureRequest) -> None:
    """Top eigenvalue and trace against the explicit matrix, and against curvlinops' operator."""
    run: TrainedRun = request.getfixturevalue(architecture)
    explicit = explicit_hessian(run)
    top, trace = torch.linalg.eigvalsh(explicit)[-1].item(), explicit.trace().item()
    assert value(run, "hessian_top_eigenvalue") == pytest.approx(top, rel=RESIDUAL)
    found = hessian_trace(run)["hessian_trace"]
    assert isinstance(found, Estimated)
    assert abs(found.value - trace) < 4 * found.standard_error
    assert found.standard_error < 0.3 * trace
    from curvlinops import HessianLinearOperator

    operator = HessianLinearOperator(
        run.folded,
        torch.nn.CrossEntropyLoss(),
        list(run.folded.parameters()),
        [(run.data.train_images, run.data.train_labels)],
        check_deterministic=False,
    )
    matrix = operator @ torch.eye(len(explicit), dtype=torch.float64)
    torch.testing.assert_close(matrix, explicit, atol=1e-8, rtol=1e-6)


def test_trace_of_a_residual_network_is_unbiased(resnet: TrainedRun) -> None:
    """Against the trace of the Gauss-Newton matrix from whole Jacobians; and exact with one-example groups."""
    parameters = {name: t.detach() for name, t in resnet.folded.named_parameters()}
    total = 0.0
    for x in resnet.data.train_images.split(1):
        outputs = functional_call(
            resnet.folded, {name: t.clone().requires_grad_() for name, t in parameters.items()}, (x,)
        )
        p = outputs.detach().softmax(1)[0]
        jacobian = torch.autograd.functional.jacobian(
            lambda *moved, x=x: functional_call(resnet.folded, dict(zip(parameters, moved, strict=True)), (x,)),
            tuple(parameters.values()),
        )
        matrix = torch.cat([part.reshape(10, -1) for part in jacobian], dim=1)
        total += torch.trace((torch.diag(p) - torch.outer(p, p)) @ matrix @ matrix.T).item()
    found = hessian_trace(resnet)["hessian_trace"]
    assert isinstance(found, Estimated)
    assert abs(found.value - total / len(resnet.data.train_labels)) < 4 * found.standard_error + 1e-12


def test_gradient_products_of_a_residual_network(resnet: TrainedRun) -> None:
    """H·v against central differences of the gradient."""
    parameters = {name: t.detach() for name, t in resnet.folded.named_parameters()}
    size = sum(t.numel() for t in parameters.values())
    v = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def gradient(step: float) -> Tensor:
        pieces = v.split([t.numel() for t in parameters.values()])
        moved = {
            name: (t + step * piece.view(t.shape)).requires_grad_()
            for (name, t), piece in zip(parameters.items(), pieces, strict=True)
        }
        outputs = functional_call(resnet.folded, moved, (resnet.data.train_images,))
        F.cross_entropy(outputs, resnet.data.train_labels).backward()
        return torch.cat([t.grad.flatten() for t in moved.values() if t.grad is not None])

    expected = (gradient(1e-7) - gradient(-1e-7)) / 2e-7
    found = hessian_vector(resnet, differentiable(resnet.parameters), v)
    assert (found - expected).norm() < 1e-4 * expected.norm()


def test_sharpness(mlp: TrainedRun) -> None:
    """The same ascent with whole gradients, and bisection along its last direction."""
    parameters = {name: t.detach() for name, t in mlp.folded.named_parameters()}

    def loss_and_signs(moved: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
        leaves = {name: t.clone().requires_grad_() for name, t in moved.items()}
        loss = F.cross_entropy(functional_call(mlp.folded, leaves, (mlp.data.train_images,)), mlp.data.train_labels)
        loss.backward()
        return loss.item(), {name: torch.sign(t.grad) for name, t in leaves.items() if t.grad is not None}

    def at(signs: dict[str, Tensor], radius: float) -> dict[str, Tensor]:
        return {name: t + radius * signs[name] for name, t in parameters.items()}

    limit = mlp.train_loss + 0.1
    _, signs = loss_and_signs(parameters)
    for radius in RADII:
        loss, following = loss_and_signs(at(signs, radius))
        if loss > limit:
            break
        signs = following
    low, high = 0.0, radius
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if loss_and_signs(at(signs, middle))[0] <= limit else (low, middle)
    assert value(mlp, "worst_case_sharpness") == pytest.approx(low**-2, rel=0.02)


def one_pixel_run() -> TrainedRun:
    """One hidden unit on one pixel: few enough parameters to try every corner of a box."""
    images = torch.linspace(-1, 1, 24, dtype=torch.float64)[:, None, None, None]
    labels = (images[:, 0, 0, 0] > 0.2).long()
    data = Dataset(2, images, labels, images, labels)
    config = RunConfig(
        data=DataConfig(checksum="0" * 64, n_train=24),
        network=MLPConfig(width=1),
        training=TrainingConfig(learning_rate=0.3, batch_size=6, max_epochs=40, precision="float64"),
    )
    return TrainedRun(config, data, *train(config, data))


def test_ascent_finds_nearly_the_worst_corner() -> None:
    run = one_pixel_run()
    assert run.train_loss < 0.5
    alpha = REGISTRY["worst_case_sharpness"].function(run)["worst_case_sharpness"]
    assert isinstance(alpha, float)
    radius = alpha**-0.5
    parameters = {name: t.detach() for name, t in run.folded.named_parameters()}
    sizes = [t.numel() for t in parameters.values()]
    worst = 0.0
    for corner in itertools.product((-1.0, 1.0), repeat=sum(sizes)):
        pieces = torch.tensor(corner, dtype=torch.float64).split(sizes)
        moved = {
            name: t + radius * piece.view(t.shape)
            for (name, t), piece in zip(parameters.items(), pieces, strict=True)
        }
        outputs = functional_call(run.folded, moved, (run.data.train_images,))
        worst = max(worst, F.cross_entropy(outputs, run.data.train_labels).item())
    assert worst >= run.train_loss + 0.1 * 0.99  # α is not below the exact one
    assert worst <= run.train_loss + 0.1 * 1.15  # and not far above it


def test_what_never_exceeds_the_tolerance_is_undefined(mlp: TrainedRun) -> None:
    patient = replace(mlp, result=replace(mlp.result, train_loss=1e9))
    with pytest.raises(UndefinedMeasureError, match="is within the tolerance"):
        sigma(patient, magnitude_aware=False)
    with pytest.raises(UndefinedMeasureError, match="no box"):
        worst_case_sharpness(patient)


def slow_error(run: TrainedRun, moved: dict[str, Tensor]) -> float:
    with torch.no_grad():
        outputs = functional_call(run.folded, moved, (run.data.train_images,))
    wrong = sum(int(row.argmax()) != int(label) for row, label in zip(outputs, run.data.train_labels, strict=True))
    return wrong / len(outputs)


def test_compression_bound_by_hand(trained: TrainedRun) -> None:
    alpha = value(trained, "prunability_magnitude_absolute_0.1")
    weights = {name: t for name, t in trained.network.named_parameters() if t.ndim > 1}
    flat = sorted((x for t in weights.values() for x in t.abs().flatten().tolist()), reverse=True)
    d = len(flat)
    k = math.ceil(round(alpha * 200) * d / 200)
    moved = {
        name: t.detach() * (weights[name].abs() >= flat[k - 1]) if name in weights else t.detach()
        for name, t in trained.folded.named_parameters()
    }
    others = sum(t.numel() for t in moved.values()) - d
    n = len(trained.data.train_labels)
    bits = math.log2(math.comb(d, k)) + 32 * (k + others)
    nats = bits * math.log(2) + math.log(200) + math.log(2 * math.sqrt(n) / 0.05)
    expected = slow_error(trained, moved) + math.sqrt(nats / (2 * n))
    assert value(trained, "compression_bound") == pytest.approx(expected, rel=1e-9)


def test_dropout_bound_by_hand(trained: TrainedRun) -> None:
    alpha = value(trained, "prunability_random_absolute_0.1")
    scale = next(s for s in SIGMAS if s <= sigma(trained, magnitude_aware=False).value)
    weights = {name for name, t in trained.network.named_parameters() if t.ndim > 1}
    errors = []
    for draw in range(5):
        draws, moved = generator(trained.config.hash, "dropout bound", draw), {}
        for name, tensor in trained.folded.named_parameters():
            drawn = tensor.detach() + scale * torch.randn(tensor.shape, generator=draws)
            if name in weights:
                drawn[torch.rand(tensor.shape, generator=draws) >= alpha] = 0
            moved[name] = drawn
        errors.append(slow_error(trained, moved))
    divergence = math.fsum(
        (alpha if name in weights else 1) * x * x / (2 * scale * scale)
        for name, t in trained.folded.named_parameters()
        for x in t.flatten().tolist()
    )
    n = len(trained.data.train_labels)
    expected = 2 * (sum(errors) / 5 + (divergence + math.log(61 * 200 / 0.05)) / n)
    found = dropout_bound(trained)["dropout_bound"]
    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.standard_error == pytest.approx(2 * np.std(errors, ddof=1) / math.sqrt(5), rel=1e-9)
