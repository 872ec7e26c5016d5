"""What a network tells two classes by where images have a simple and a complex part; the rank of features."""

import torch
from torch import Tensor

from prunability.data.parts import shuffled
from prunability.measures.probes import probe
from prunability.measures.subject import TrainedRun, UndefinedMeasureError
from prunability.training.loop import logits

# What is done to the test images, in the order of the parts of a row.
SHUFFLED = ("clean", "simple", "complex")


@probe()
def reliance(run: TrainedRun) -> list[float]:
    """The margin of each test image in logits: clean, with its simple part from another, and with its complex part.

    An image is taken for its class where its margin, the logit of its class less the other, is positive.

    Raises:
        UndefinedMeasureError: its images are not made of two parts.
    """
    data = run.data
    if data.simple is None:
        raise UndefinedMeasureError("the images have no parts to shuffle")
    images, labels = data.test_images, data.test_labels
    seen = [images, *(shuffled(images, labels, data.simple, part) for part in ("simple", "complex"))]
    margins = [_margins(logits(run.folded, own), labels) for own in seen]
    return torch.cat(margins).tolist()


def _margins(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs[:, 1] - outputs[:, 0]) * (2 * labels - 1)


@probe()
def effective_rank(run: TrainedRun) -> list[float]:
    """Effective rank of what the classifier reads of the training images, averaged over pixels, and centred.

    exp(H(p)), p the singular values divided by their sum (Roy & Vetterli 2007).

    Raises:
        UndefinedMeasureError: it reads the same of all images.
    """
    seen: list[Tensor] = []
    hook = run.folded.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double()))
    logits(run.folded, run.data.train_images)
    hook.remove()
    read = torch.cat([part.flatten(2).mean(2) if part.dim() > 2 else part for part in seen])
    return [rank_of(read - read.mean(0))]


def rank_of(matrix: Tensor) -> float:
    """The effective rank of a matrix [rows, columns], from 1 to its rank.

    Raises:
        UndefinedMeasureError: it is zero.
    """
    values = torch.linalg.svdvals(matrix)
    if not values.sum() > 0:
        raise UndefinedMeasureError("a matrix of zeros has no effective rank")
    return float(torch.special.entr(values / values.sum()).sum().exp())
