"""What a network says of each single example."""

import torch

from prunability.measures.probes import probe
from prunability.measures.subject import TrainedRun
from prunability.training.loop import logits


@probe()
def test_predictions(run: TrainedRun) -> list[float]:
    """The class predicted for each test example."""
    found: list[float] = logits(run.folded, run.data.test_images).argmax(1).tolist()
    return found


@probe()
def training_examples(run: TrainedRun) -> list[float]:
    """Of all training examples the class predicted, then the label that was given, then the margin in logits."""
    outputs, labels = run.train_logits, run.data.train_labels[:, None]
    others = outputs.scatter(1, labels, -torch.inf).max(1).values
    margins = outputs.gather(1, labels)[:, 0] - others
    return [*outputs.argmax(1).tolist(), *labels[:, 0].tolist(), *margins.float().tolist()]
