"""Measures of the network's outputs on its training set; all read the same logits."""

from torch import Tensor

from prunability.measures.base import Measure, measure, shared
from prunability.measures.subject import Measurable, UndefinedMeasureError

JIANG = "Jiang et al. 2020"


@shared
def margins(run: Measurable) -> Tensor:
    """Correct logit − largest other logit of each training example, float64 [N]."""
    labels = run.data.train_labels[:, None]
    correct = run.train_logits.gather(1, labels)[:, 0]
    return correct - run.train_logits.scatter(1, labels, -float("inf")).amax(1)


def margin(run: Measurable) -> float:
    """γ in logits, the 10th percentile of the margins: the smallest that a tenth of them do not exceed.

    Raises:
        UndefinedMeasureError: γ ≤ 0, for then more than a tenth of the training set is misclassified.
    """
    found = margins(run)
    value = float(found.kthvalue(-(-len(found) // 10)).values)
    if not value > 0:
        raise UndefinedMeasureError(f"the 10th percentile of the margins is {value:.3g}, not positive")
    return value


@measure(
    Measure("inverse_margin", "inverse squared margin", "output", f"{JIANG}, eq. 22", "1/γ²", "1/logit²"), version=2
)
def inverse_margin(run: Measurable) -> dict[str, float]:
    """1/γ². Undefined where γ ≤ 0."""
    return {"inverse_margin": margin(run) ** -2}


@measure(
    Measure(
        "negative_mean_margin", "mean margin (negated)", "output", "Bartlett et al. 2017, margin distribution",
        "−mean(correct − best other logit)", "logit", negated=True,
    )
)  # fmt: skip
def negative_mean_margin(run: Measurable) -> dict[str, float]:
    """Minus the mean margin: a larger margin should generalize better. Defined on every network."""
    return {"negative_mean_margin": -margins(run).mean().item()}


@measure(
    Measure(
        "negative_output_entropy", "output entropy (negated)", "output", f"{JIANG}, after Pereyra et al. 2017",
        "mean(Σ_c p_c ln p_c)", "nats", negated=True,
    )
)  # fmt: skip
def negative_output_entropy(run: Measurable) -> dict[str, float]:
    """Minus the mean entropy of the predicted distributions: confident outputs should generalize worse.

    Defined on every network.
    """
    log_p = run.train_logits.log_softmax(1)
    return {"negative_output_entropy": (log_p.exp() * log_p).sum(1).mean().item()}


@measure(Measure("training_loss", "training loss", "output", f"{JIANG}, cross-entropy", "L(w)", "nats"))
def training_loss(run: Measurable) -> dict[str, float]:
    """L(w), the mean cross-entropy on the training set; nearly equal where all reach one target. Always defined."""
    return {"training_loss": run.train_loss}
