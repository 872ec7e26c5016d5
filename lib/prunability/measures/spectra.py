"""Spectral norms of the layers, BatchNorm folded: of the reshaped kernel, and of the convolution (FFT)."""

import math

import torch
from torch import Tensor, nn

from prunability.measures.base import Measure, measure, shared
from prunability.measures.norms import frobenius_distances, frobenius_norms, geometric, log_product
from prunability.measures.output import JIANG, margin
from prunability.measures.search import prunable
from prunability.measures.subject import Measurable, UndefinedMeasureError

SEDGHI = "Sedghi et al. 2018"
# Suffixes of names, and whether the norm is the convolution's own.
KINDS = {"": False, "_fft": True}


def kernel_norm(weight: Tensor) -> float:
    """‖W‖₂ of a matrix, or of a kernel [out, in, h, w] reshaped to [out, in·h·w]."""
    return float(torch.linalg.matrix_norm(weight.double().flatten(1), ord=2))


def convolution_norm(weight: Tensor, stride: int, size: tuple[int, int]) -> float:
    """The spectral norm of the circular convolution with a kernel [out, in, h, w] on images of one size.

    The discrete Fourier transform makes the convolution block diagonal (Sedghi et al. 2018). A stride s
    adds up s² frequencies, 1/s each, so that a block is [out, s²·in]. A size below the kernel's, or no
    multiple of the stride, is the next larger one.
    """
    if weight.shape[2:] == (1, 1) and stride == 1:
        return kernel_norm(weight)
    height, width = (-(-max(n, k) // stride) * stride for n, k in zip(size, weight.shape[2:], strict=True))
    spectrum = torch.fft.fft2(weight.double(), s=(height, width))
    # Frequencies that differ by a multiple of size / stride fall together.
    blocks = spectrum.unflatten(3, (stride, width // stride)).unflatten(2, (stride, height // stride))
    blocks = blocks.permute(3, 5, 0, 2, 4, 1).flatten(3) / stride
    # A real kernel has the same singular values at a frequency and at its negative.
    half = blocks[: height // stride // 2 + 1].flatten(0, 1)
    gram = half @ half.mH if half.shape[1] <= half.shape[2] else half.mH @ half
    return math.sqrt(float(torch.linalg.eigvalsh(gram).amax()))


@shared
def input_sizes(run: Measurable) -> dict[str, tuple[int, int]]:
    """Height and width of what each convolution of the network reads, by the name of its weight."""
    sizes: dict[str, tuple[int, int]] = {}
    hooks = []
    for name, module in run.folded.named_modules():
        if isinstance(module, nn.Conv2d):

            def note(_: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
                sizes[f"{name}.weight"] = (inputs[0].shape[2], inputs[0].shape[3])

            hooks.append(module.register_forward_pre_hook(note))
    with torch.no_grad():
        run.folded(run.data.train_images[:1])
    for hook in hooks:
        hook.remove()
    return sizes


def _norms(run: Measurable, exact: bool, from_start: bool) -> dict[str, float]:
    initial = prunable(run.folded_initial) if from_start else {}
    norms = {}
    for name, weight in prunable(run.folded).items():
        moved = weight.double() - initial[name].double() if from_start else weight
        layer = run.folded.get_submodule(name.rpartition(".")[0])
        if exact and isinstance(layer, nn.Conv2d):
            if layer.groups != 1 or set(layer.dilation) != {1} or len(set(layer.stride)) > 1:
                raise UndefinedMeasureError(f"{name} is a convolution with groups, dilation or two strides")
            norms[name] = convolution_norm(moved, layer.stride[0], input_sizes(run)[name]) ** 2
        else:
            norms[name] = kernel_norm(moved) ** 2
    return norms


@shared
def spectral_norms(run: Measurable, exact: bool) -> dict[str, float]:
    """‖W_i‖²₂ of each layer by name, of the convolution itself if ``exact``."""
    return _norms(run, exact, from_start=False)


def _member(name: str, label: str, equation: int, formula: str, unit: str = "1") -> tuple[Measure, Measure]:
    return tuple(
        Measure(
            name + suffix,
            label + (" (FFT)" if exact else ""),
            "norms",
            f"{JIANG}, eq. {equation}" + (f", norms of {SEDGHI}" if exact else ""),
            formula,
            unit,
        )
        for suffix, exact in KINDS.items()
    )  # type: ignore[return-value]


@measure(*_member("spectral_distance", "spectral distance from init", 41, "Σ‖W_i − W_i⁰‖²₂"))
def spectral_distance(run: Measurable) -> dict[str, float]:
    """Σ over layers of ‖W_i − W_i⁰‖²₂. Defined on every network."""
    return {
        f"spectral_distance{suffix}": sum(_norms(run, exact, from_start=True).values())
        for suffix, exact in KINDS.items()
    }


@measure(
    *_member("log_product_of_spectral_norms", "log Π spectral", 32, "ln Π‖W_i‖²₂", "nats"),
    *_member("sum_of_spectral_norms", "Σ spectral", 35, "D(Π‖W_i‖²₂)^(1/D)"),
    *_member("frobenius_over_spectral", "Frobenius / spectral", 33, "Σ‖W_i‖²_F / ‖W_i‖²₂"),
)
def products_of_spectral_norms(run: Measurable) -> dict[str, float]:
    """Logarithm of the product, D times its D-th root, and the stable ranks. Undefined with a zero layer."""
    values = {}
    for suffix, exact in KINDS.items():
        norms = spectral_norms(run, exact)
        product = log_product(norms)
        values[f"log_product_of_spectral_norms{suffix}"] = product
        values[f"sum_of_spectral_norms{suffix}"] = geometric(product, len(norms))
        ranks = (frobenius_norms(run)[name] / norm for name, norm in norms.items())
        values[f"frobenius_over_spectral{suffix}"] = sum(ranks)
    return values


@measure(
    *_member(
        "log_product_of_spectral_norms_over_margin", "log Π spectral / margin", 31, "ln(Π‖W_i‖²₂ / γ²)", "nats",
    ),
    *_member("sum_of_spectral_norms_over_margin", "Σ spectral / margin", 34, "D(Π‖W_i‖²₂ / γ²)^(1/D)"),
    *_member(
        "log_spectral_bound_from_init", "spectral bound, from init", 29,
        "ln(Π‖W_i‖²₂ · Σ‖W_i − W_i⁰‖²_F/‖W_i‖²₂ / γ²)", "nats",
    ),
    *_member(
        "log_spectral_bound_from_origin", "spectral bound, from origin", 30,
        "ln(Π‖W_i‖²₂ · Σ‖W_i‖²_F/‖W_i‖²₂ / γ²)", "nats",
    ),
)  # fmt: skip
def products_of_spectral_norms_over_margin(run: Measurable) -> dict[str, float]:
    """The product over γ², and the main terms of the spectral bounds of Neyshabur et al. 2018.

    Undefined where γ ≤ 0, a layer is all zero, or the network never left its initialisation.
    """
    values = {}
    for suffix, exact in KINDS.items():
        norms = spectral_norms(run, exact)
        product = log_product(norms) - 2 * math.log(margin(run))
        values[f"log_product_of_spectral_norms_over_margin{suffix}"] = product
        values[f"sum_of_spectral_norms_over_margin{suffix}"] = geometric(product, len(norms))
        for reference, squares in (("init", frobenius_distances(run)), ("origin", frobenius_norms(run))):
            ratio = sum(squares[name] / norms[name] for name in norms)
            if ratio == 0:
                raise UndefinedMeasureError("the weights are those at initialisation")
            values[f"log_spectral_bound_from_{reference}{suffix}"] = product + math.log(ratio)
    return values
