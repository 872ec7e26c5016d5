"""What a network says of single examples, one example at a time."""

import pytest
import torch

from prunability.measures import TrainedRun
from prunability.measures.instability import test_predictions as of_test_images
from prunability.measures.instability import training_examples


@pytest.mark.parametrize("name", ["tiny_nin", "mlp"])
def test_classes_labels_and_margins_by_hand(name: str, request: pytest.FixtureRequest) -> None:
    run: TrainedRun = request.getfixturevalue(name)
    with torch.no_grad():
        outputs = [run.network(image[None])[0].tolist() for image in run.data.train_images]
        tested = [run.network(image[None])[0].tolist() for image in run.data.test_images[:20]]
    labels = run.data.train_labels.tolist()
    classes, given, margins = torch.tensor(training_examples(run)).view(3, -1).tolist()
    assert classes == [own.index(max(own)) for own in outputs]
    assert given == labels
    others = [max(z for place, z in enumerate(own) if place != y) for own, y in zip(outputs, labels, strict=True)]
    assert margins == pytest.approx(
        [own[y] - other for own, y, other in zip(outputs, labels, others, strict=True)], abs=1e-5
    )
    assert of_test_images(run)[:20] == [own.index(max(own)) for own in tested]
