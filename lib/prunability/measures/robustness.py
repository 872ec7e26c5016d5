"""Test error of a network under noise on its weights, on worse images and under attack, and of pruned copies.

Each row begins with the clean error. Weights are those of the folded network: noise in proportion to a weight is
the same before folding and after.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from statistics import fmean

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from prunability.foundation.seeding import generator
from prunability.measures.flatness import noise
from prunability.measures.probes import probe
from prunability.measures.search import HEADLINE, RESOLUTION, keep_steps, prunable, pruned
from prunability.measures.subject import TrainedRun
from prunability.measures.variants import Variants, Weights
from prunability.training.attack import attacked
from prunability.training.course import error_of
from prunability.training.loop import evaluation_batch, logits

# σ of w(1 + σz), and draws of z, which are the same for every σ.
SIGMAS, DRAWS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5), 5
# ε of attacks, in 1/255 of the range of a pixel, and steps towards it.
RADII, STEPS = (1, 2, 4, 8, 16), 20
# At most so many test images, always the same, are made worse, and attacked, which costs far more.
WORSE, ATTACKED = 2000, 500
# The finest grid of kept fractions whose quarters are on it: prunability, its half and its quarter.
QUARTERS = 4 * RESOLUTION

Corruption = Callable[[Tensor, float, Generator], Tensor]


def _noisy(images: Tensor, amount: float, draws: Generator) -> Tensor:
    return images + amount * torch.randn(images.shape, generator=draws, dtype=torch.float32).to(images)


def _blurred(images: Tensor, amount: float, draws: Generator) -> Tensor:
    from torchvision.transforms.v2.functional import gaussian_blur  # noqa: PLC0415  (needed only here)

    del draws
    sigma = amount * min(images.shape[2:])
    blurred: Tensor = gaussian_blur(images, 2 * math.ceil(3 * sigma) + 1, sigma or 1.0)
    return blurred


def _faded(images: Tensor, amount: float, draws: Generator) -> Tensor:
    del draws
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (1 - amount) * (images - mean)


def _brightened(images: Tensor, amount: float, draws: Generator) -> Tensor:
    del draws
    return images + amount


def _pixelated(images: Tensor, amount: float, draws: Generator) -> Tensor:
    """On fewer pixels and back; blocks would make 7 pixels of 8 worse than 4 of 8."""
    del draws
    sides = [max(1, round((1 - amount) * side)) for side in images.shape[2:]]
    few = F.interpolate(images, sides, mode="bilinear", antialias=True)
    return F.interpolate(few, images.shape[2:], mode="bilinear")


# After Hendrycks & Dietterich 2019, on pixels from 0 to 1; each with its amounts at five severities: the standard
# deviation of noise, that of blur in sides of the image, the contrast lost, what is added, the resolution lost.
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "noise": (_noisy, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "blur": (_blurred, (0.025, 0.05, 0.075, 0.1, 0.125)),
    "contrast": (_faded, (0.25, 0.5, 0.6, 0.7, 0.8)),
    "brightness": (_brightened, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "pixelation": (_pixelated, (0.1, 0.25, 0.4, 0.5, 0.6)),
}


@probe()
def weight_noise(run: TrainedRun) -> list[float]:
    """Test error clean and at each of ``SIGMAS``, the mean over draws of noise on the prunable weights."""
    return _under_noise(run, prunable(run.folded))


@probe()
def corruptions(run: TrainedRun) -> list[float]:
    """Test error clean, then for each of ``CORRUPTIONS`` at its five severities."""
    return _corrupted(run, run.folded)


@probe()
def pgd(run: TrainedRun) -> list[float]:
    """Test error clean and under attack at each of ``RADII``, of the images that are attacked."""
    return _attacked(run, run.folded)


@probe(version=2, pair=True)
def pruned_weight_noise(run: TrainedRun, dense: TrainedRun) -> list[float]:
    """As ``weight_noise``, of a copy of a ``dense`` partner that keeps as many weights as the run has, those of the
    largest magnitudes, and is not trained again.
    """
    return _under_noise(dense, prunable(_pruned_to(run, dense)))


@probe(pair=True)
def pruned_corruptions(run: TrainedRun, dense: TrainedRun) -> list[float]:
    """As ``corruptions``, of that copy."""
    return _corrupted(dense, _pruned_to(run, dense))


@probe(pair=True)
def pruned_pgd(run: TrainedRun, dense: TrainedRun) -> list[float]:
    """As ``pgd``, of that copy."""
    return _attacked(dense, _pruned_to(run, dense))


def _pruned_to(run: TrainedRun, dense: TrainedRun) -> nn.Module:
    """A copy of a dense network that keeps as many prunable weights as a run has that are not 0."""
    left = sum(int(weight.count_nonzero()) for weight in run.weights.values())
    copy, steps = deepcopy(dense.folded), keep_steps(dense.weights, "magnitude", dense.weight_count)
    copy.load_state_dict(pruned(prunable(copy), steps, left), strict=False)
    return copy


def _under_noise(run: TrainedRun, weights: Weights) -> list[float]:
    drawn = [noise(run, draw, magnitude_aware=True) for draw in range(DRAWS)]
    drawn = [{name: z[name] * (weight != 0) for name, weight in weights.items()} for z in drawn]
    variants, labels = Variants(run.folded, run.data.test_images, run.data.test_labels), run.data.test_labels
    row = [error_of(variants.outputs([weights])[0], labels)]
    for sigma in SIGMAS:
        moved = [{name: w.add(z[name], alpha=sigma) for name, w in weights.items()} for z in drawn]
        row.append(fmean(error_of(outputs, labels) for outputs in variants.outputs(moved)))
    return row


def _corrupted(run: TrainedRun, network: nn.Module) -> list[float]:
    images, labels, (black, bright) = _examples(run, WORSE)
    pixels, row = (images - black) / (bright - black), [error_of(logits(network, images), labels)]
    for name, (corrupted, amounts) in CORRUPTIONS.items():
        for amount in amounts:
            worse = corrupted(pixels, amount, run.draws(f"corruption {name}")).clamp(0, 1)
            row.append(error_of(logits(network, black + worse * (bright - black)), labels))
    return row


def _attacked(run: TrainedRun, network: nn.Module) -> list[float]:
    images, labels, ends = _examples(run, ATTACKED)
    row, batch = [error_of(logits(network, images), labels)], evaluation_batch(images, gradients=True)
    for radius in RADII:
        draws, moved = run.draws("attack"), []
        for part, own in zip(images.split(batch), labels.split(batch), strict=True):
            start = 2 * torch.rand(part.shape, generator=draws, dtype=torch.float32).to(part) - 1
            moved.append(attacked(network, part, own, radius / 255, ends, start, STEPS))
        row.append(error_of(logits(network, torch.cat(moved)), labels))
    return row


def _examples(run: TrainedRun, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The test images that are disturbed, their labels, and the ends of a pixel's range."""
    data = run.data
    assert data.ends is not None, "the images of a run are known"
    chosen = torch.randperm(len(data.test_labels), generator=generator("disturbed examples"))[:most]
    chosen = chosen.to(data.test_labels.device)
    return data.test_images[chosen], data.test_labels[chosen], data.ends


@probe()
def pruned_errors(run: TrainedRun) -> list[float]:
    """Of the whole network, and of α, α/2 and α/4 of its weights, α its prunability: that fraction, then how many
    test images of each class are taken for each, [classes, classes] row by row.
    """
    classes, labels = run.data.classes, run.data.test_labels
    steps, whole = keep_steps(run.weights, "magnitude", QUARTERS), prunable(run.folded)
    quarter = round(run.magnitude_prunability[HEADLINE] * RESOLUTION)
    variants, row = Variants(run.folded, run.data.test_images, labels), list[float]()
    for kept in (QUARTERS, 4 * quarter, 2 * quarter, quarter):
        taken = variants.outputs([pruned(whole, steps, kept)])[0].argmax(1)
        counts = torch.bincount(labels * classes + taken, minlength=classes**2)
        row += [kept / QUARTERS, *map(float, counts.tolist())]
    return row
