"""What a network's own predictions cost on the examples that a larger training set would add to its own."""

from prunability.measures.probes import probe
from prunability.measures.subject import TrainedRun, UndefinedMeasureError
from prunability.training.course import cross_entropies
from prunability.training.loop import logits

# How many times the training set the larger one may be.
GROWTH = (2.0, 2.5)


@probe()
def following_losses(run: TrainedRun) -> list[float]:
    """Nats, for each of ``GROWTH``, summed over the examples between the n of training and so many times n.

    They are the blocks of a prequential code (Bornschein et al. 2020). Where images do not suffice, all there are.

    Raises:
        UndefinedMeasureError: the run was trained on all there are.
    """
    assert run.data.following is not None, "a run of a study knows all images"
    n = len(run.data.train_labels)
    images, labels = run.data.following(round(max(GROWTH) * n) - n)
    if not len(labels):
        raise UndefinedMeasureError("no example follows its training set")
    costs = cross_entropies(logits(run.folded, images), labels)
    return [costs[: round(growth * n) - n].sum().item() for growth in GROWTH]
