"""The Hessian and sharpness against explicit matrices, curvlinops, enumeration and bisection."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, hessian
from torch.nn import functional as F

from helpers import value
from prunability.data.dataset import DataConfig, Dataset
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.measures.curvature import RESIDUAL, hessian_trace, hessian_vector, top_eigenvalue
from prunability.measures.sharpness import RADII, ascent, corner, differentiable, worst_case_sharpness
from prunability.measures.variants import Variants
from prunability.training.config import MLPConfig, RunConfig, TrainingConfig
from prunability.training.loop import train


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
    assert found.standard_error < 0.5 * trace
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


@pytest.mark.parametrize("architecture", ["mlp", "tiny_nin", "trained", "resnet"])
def test_groups_of_examples_side_by_side(
    architecture: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """As on a GPU; 120 examples in 20 groups, the last fleet of which is smaller."""
    run: TrainedRun = request.getfixturevalue(architecture)
    alone = hessian_trace(run)["hessian_trace"]
    monkeypatch.setattr(Variants, "side_by_side", lambda *_, **__: 7)
    assert hessian_trace(run)["hessian_trace"] == pytest.approx(alone, rel=1e-9)


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
    # One image has most of the trace, so that a single estimate's own standard error says little here.
    values = []
    for seed in range(40):
        other = replace(resnet, config=resnet.config.model_copy(update={"seed": seed}))
        found = hessian_trace(other)["hessian_trace"]
        assert isinstance(found, Estimated)
        values.append(found.value)
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    assert abs(np.mean(values) - total / len(resnet.data.train_labels)) < 4 * error
    assert error < 0.2 * np.mean(values)


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
    for vertex in itertools.product((-1.0, 1.0), repeat=sum(sizes)):
        pieces = torch.tensor(vertex, dtype=torch.float64).split(sizes)
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
    with pytest.raises(UndefinedMeasureError, match="no box"):
        worst_case_sharpness(patient)


def test_sharpness_where_the_first_corner_overflows(mlp: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunability.measures.sharpness.RADII", [1e150])
    run = replace(mlp)
    radius = value(run, "worst_case_sharpness") ** -0.5
    moved = corner(run, ascent(run).signs, radius)
    assert run.variants.mean_losses([moved]).item() == pytest.approx(run.train_loss + 0.1, abs=2.1e-4)


def test_sharpness_is_undefined_where_every_box_exceeds_the_tolerance(
    tiny_nin: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert value(tiny_nin, "worst_case_sharpness") > 0
    monkeypatch.setattr(Variants, "mean_losses", lambda *_: torch.tensor([float("inf")]))
    with pytest.raises(UndefinedMeasureError, match="in every box, however small"):
        value(tiny_nin, "worst_case_sharpness")
