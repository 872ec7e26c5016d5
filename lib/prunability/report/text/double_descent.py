"""Sentences of the notebook on double descent, in Markdown, every number computed from the tables."""

from collections.abc import Mapping

import pandas as pd

from prunability.analysis.resampling import Estimate
from prunability.analysis.tables import RELATIVE, left_out
from prunability.analysis.widths import INTERPOLATES, interpolation_threshold, no_double_descent, peak
from prunability.claims import LEAST_RUNS
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.pruning import name_of
from prunability.studies import Study
from prunability.training.config import ResNetConfig


def study(opened: Study, table: pd.DataFrame) -> str:
    """Which networks were trained, for how long, and how many reached a small loss all the same."""
    first = opened.runs[0]
    rules, main = first.training, table[table["run"].isin(opened.parts["grid"])]
    network = "ResNet18(k)" if isinstance(first.network, ResNetConfig) else "MLP(width)"
    widths = ", ".join(f"{width}" for width in sorted(main["width"].unique()))
    reached = int((main["status"] == "converged").sum())
    rest = "; ".join(f"{number} {reason}" for reason, number in left_out(table).items())
    return (
        f"Profile **{opened.profile}**: {network} of width {widths}, {main['seed'].nunique()} seeds each, on "
        f"{first.data.n_train} training images of *{opened.data.title}*, each label made wrong with probability "
        f"{first.data.label_noise:g} ({opened.data.test} test images). Each is trained by "
        f"{'Adam' if rules.optimiser == 'adam' else 'SGD'} with learning rate {rules.learning_rate:g} and batches "
        f"of {rules.batch_size} for {rules.max_epochs} epochs ({main['steps'].iloc[0]:,} steps)"
        f"{', with random crops and flips' if rules.augmentation else ''}, whatever its loss: {reached} of these "
        f"{len(main)} networks end with a training loss of at most {rules.target_loss:g} nats, and the others are "
        f"kept all the same. With other label noise and with shorter trainings there are {len(table)} networks. "
        + (f"Left out: {rest}." if rest else "None diverged.")
    )


def shape(table: pd.DataFrame) -> str:
    """Whether there is a double descent, and where networks begin to interpolate."""
    threshold, found = interpolation_threshold(table), peak(table, "test_loss")
    where = f"The widest networks do not interpolate: their mean training error exceeds {INTERPOLATES:.0%}."
    if threshold is not None:
        where = f"Networks interpolate from width {threshold} on (mean training error at most {INTERPOLATES:.0%})."
    if found is None:
        return f"{where} There are too few widths for a peak."
    words = f"{found.prominence.words(3)} nats (plus and minus three standard errors)"
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
        f"{where} {decides}From its lowest point among narrower networks, at width {found.before}"
        f"{'' if found.before > table['width'].min() else ' (the narrowest: there is no first descent)'}, the test "
        f"loss rises to an interior peak at width {found.at} and falls again; the peak stands out from both sides "
        f"by {words}. {of_error}"
    )


def halves(table: pd.DataFrame) -> str:
    """How prunability follows the test loss on either side of the threshold, at both kinds of tolerance."""
    lines = []
    for name, label in ((HEADLINE_MEASURE, "absolute"), (name_of("magnitude", RELATIVE), "relative")):
        part = table[(table["measure"] == name) & table["target"].str.startswith("test loss")]
        words = [f"{row['half']} {_tau(row)} (n = {row['n']})" for _, row in part.iterrows()]
        lines.append(f"- {label} tolerance, τ with test loss: {'; '.join(words)}.")
    loss = table[table["target"].str.startswith("test loss")].set_index(["half", "measure"])["tau"]
    for half in dict.fromkeys(table["half"]):
        own, other = (loss.get((half, name)) for name in (HEADLINE_MEASURE, name_of("magnitude", RELATIVE)))
        if own is not None and other is not None:
            better = "absolute" if own > other else "relative"
            lines.append(f"- {half}: the {better} tolerance follows the test loss more closely.")
    return "\n".join(lines)


def relative(limits: pd.DataFrame) -> str:
    """What each tolerance admits on either side of the threshold."""
    lines = []
    for network, part in limits.groupby("network", sort=False):
        room = part["limit"] - part["loss"]
        rooms = [
            f"{tolerance} admits {more:.2g} nats more and answers {answer:g}"
            for tolerance, more, answer in zip(part["tolerance"], room, part["answer"], strict=True)
        ]
        lines.append(f"- *{network}*, training loss {part['loss'].iloc[0]:.2g} nats: {', '.join(rooms)}.")
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def epochs(runs: pd.DataFrame, table: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Whether the test loss has a peak along training, and where each curve is lowest and highest."""
    found = peak(runs, "test_loss", "max_epochs")
    few = f"{runs['max_epochs'].nunique()} lengths of training, {_counted(runs['seed'].nunique(), 'seed')} each"
    words = (
        f"The test loss shows **no** interior peak along training ({few}): no epoch-wise double descent is seen."
    )
    if found is not None and found.real:
        by = found.prominence.words(3)
        words = f"The test loss has an interior peak after {found.at} epochs, by {by} nats ({few})."
    lines = [words, ""]
    for name, label in labels.items():
        means = table[table["name"] == name].set_index("max_epochs")["mean"]
        lines.append(
            f"- {label}: {means.iloc[0]:.3g} after {means.index[0]} epochs, lowest ({means.min():.3g}) after "
            f"{means.idxmin()}, highest ({means.max():.3g}) after {means.idxmax()}, {means.iloc[-1]:.3g} at last."
        )
    return "\n".join(lines)


def limitations(opened: Study, main: pd.DataFrame) -> str:
    """What this study cannot speak for."""
    first = opened.runs[0]
    few = len(main) < LEAST_RUNS or not opened.claims
    enough = "too few, or the profile too small, for any verdict" if few else "runs of one width are much alike"
    return "\n".join(
        [
            f"- **n**: {len(main)} networks of {main['width'].nunique()} widths; {enough}. One curve over widths "
            "is one observation of double descent, however many networks it is made of.",
            f"- **Data**: {first.data.n_train} images of {opened.data.title} with labels made wrong at random; "
            "real errors in labels are not random. All networks share one subset and one draw of wrong labels: "
            "standard errors speak of other initial weights and data orders only.",
            f"- **Networks and budget**: one architecture, one optimiser, one learning rate, "
            f"{first.training.max_epochs} epochs. More epochs move the threshold to narrower networks.",
            "- **τ by half**: where the test loss is monotone in the size, a measure of size alone has a τ of 1 "
            "or −1; compare with the kept parameters.",
            "- **Resolution**: a peak's place is known to one step of the widths tried.",
        ]
    )


def _tau(row: pd.Series) -> str:
    return str(Estimate(row["tau"], row["low"], row["high"]))
