"""Sentences of the notebook on double descent, in Markdown, every number computed from the tables."""

from collections.abc import Mapping

import pandas as pd

from prunability.analysis.resampling import Estimate
from prunability.analysis.tables import RELATIVE, TARGETS, left_out
from prunability.analysis.widths import STANDARD_ERRORS, interpolation_threshold, no_double_descent, peak
from prunability.claims.words import markdown, plain
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.pruning import name_of
from prunability.measures.search import HEADLINE
from prunability.studies import Study
from prunability.training.config import ResNetConfig


def networks_of_widths(opened: Study, table: pd.DataFrame) -> str:
    """Which networks were trained, for how long, and how many reached a small loss all the same."""
    first = opened.runs[0]
    rules, main = first.training, table[table["run"].isin(opened.parts["grid"])]
    network = "ResNet18(k)" if isinstance(first.network, ResNetConfig) else "MLP(width)"
    widths = ", ".join(f"{width}" for width in sorted(main["width"].unique()))
    reached = int((main["status"] == "converged").sum())
    rest = "; ".join(f"{number} {reason}" for reason, number in left_out(table).items())
    return (
        f"Profile **{opened.profile}**: {network} of width {widths}, {main['seed'].nunique()} seeds each, on "
        f"{first.data.n_train} training images of *{plain(opened.data.title)}*, each label made wrong with "
        f"probability {first.data.label_noise:g} ({opened.data.test} test images). Each is trained by "
        f"*{rules.optimiser}* with learning rate {rules.learning_rate:g} and batches "
        f"of {rules.batch_size} for {rules.max_epochs} epochs ({main['steps'].iloc[0]:,} steps)"
        f"{', with random crops and flips' if rules.augmentation else ''}, whatever its loss: {reached} of these "
        f"{len(main)} networks end with a training loss of at most {rules.target_loss:g} nats, and the others are "
        f"kept all the same. With other label noise and with shorter trainings there are {len(table)} networks. "
        + (f"Left out: {rest}." if rest else "None diverged.")
    )


def descent(table: pd.DataFrame) -> str:
    """Whether there is a double descent, and where networks begin to interpolate."""
    threshold, found = interpolation_threshold(table), peak(table, "test_loss")
    where = "The widest networks do not interpolate."
    if threshold is not None:
        where = f"Networks interpolate from width {threshold} on."
    if found is None:
        return f"{where} There are too few widths for a peak."
    words = f"{found.prominence.words(3)} nats (plus and minus {STANDARD_ERRORS} standard errors)"
    if found.prominence.value <= 0:
        return f"{where} **The test loss has no interior maximum. This profile cannot decide C3.**"
    if not found.real:
        return (
            f"{where} **The test loss has no interior peak** that stands out from its noise: the most prominent, "
            f"at width {found.at}, does so by {words}. **This profile cannot decide C3.**"
        )
    why = no_double_descent(table, "test_loss")
    decides = f"**This profile cannot decide C3**: {why}. " if why else ""
    errors = peak(table, "test_error")
    of_error = "The test error has no such peak."
    if errors is not None and errors.real:
        of_error = f"The test error peaks at width {errors.at}."
    return (
        f"{where} {decides}From its lowest point among narrower networks, at width {found.before}, the test loss "
        f"rises to an interior peak at width {found.at} and falls again; the peak stands out from both sides by "
        f"{words}. {of_error}"
    )


def halves(table: pd.DataFrame) -> str:
    """How prunability follows the test loss on either side of the threshold, at both kinds of tolerance."""
    loss = table[table["target"] == TARGETS["test_loss"]]
    names = {HEADLINE_MEASURE: HEADLINE.label, name_of("magnitude", RELATIVE): RELATIVE.label}
    rows = []
    for half, part in loss[loss["measure"].isin(names)].groupby("half", sort=False):
        taus = {names[row["measure"]]: row["tau"] for _, row in part.iterrows()}
        found = {names[row["measure"]]: _tau(row) for _, row in part.iterrows()}
        cells = {f"τ, {label}": found.get(label, "undefined") for label in names.values()}
        closer = max(taus, key=lambda label: taus[label]) if len(taus) > 1 else "–"
        rows.append({"half": half, "n": str(part["n"].iloc[0])} | cells | {"follows more closely": closer})
    return markdown(pd.DataFrame(rows))


def tolerances_admitted(limits: pd.DataFrame) -> str:
    """How much more than its training loss each tolerance admits of each network, and the answer there."""
    rows = []
    for tolerance, part in limits.groupby("tolerance", sort=False):
        row: dict[str, str] = {"tolerance": str(tolerance)}
        for network, loss, limit, answer in part[["network", "loss", "limit", "answer"]].itertuples(index=False):
            row[f"{network}, loss {loss:.2g} nats"] = f"{limit - loss:.2g} nats more: {answer:g}"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def along_training(runs: pd.DataFrame, table: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Whether the test loss has a peak along training, and where each curve is lowest and highest."""
    if runs.empty:
        return "No run of another length of training is here."
    found = peak(runs, "test_loss", "max_epochs")
    seeds = runs["seed"].nunique()
    few = f"{runs['max_epochs'].nunique()} lengths of training, {seeds} seed{'s' * (seeds != 1)} each"
    words = (
        f"The test loss shows **no** interior peak along training ({few}): no epoch-wise double descent is seen."
    )
    if found is not None and found.real:
        by = found.prominence.words(3)
        words = f"The test loss has an interior peak after {found.at} epochs, by {by} nats ({few})."
    rows = []
    for name, label in labels.items():
        means = table[table["name"] == name].set_index("max_epochs")["mean"]
        ends = {"lowest": means.idxmin(), "highest": means.idxmax(), "at last": means.index[-1]}
        cells = {words: f"{means[place]:.3g} after {place} epochs" for words, place in ends.items()}
        rows.append({"curve": label} | cells)
    return f"{words}\n\n{markdown(pd.DataFrame(rows))}"


def _tau(row: pd.Series) -> str:
    return str(Estimate(row["tau"], row["low"], row["high"]))
