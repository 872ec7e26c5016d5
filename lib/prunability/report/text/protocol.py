"""What the protocol fixes beforehand, in words: each number is the one that the code uses."""

from prunability.analysis.resampling import CONFIDENCE, RESAMPLES, SEED_RESAMPLES
from prunability.analysis.tables import RELATIVE
from prunability.analysis.widths import INTERPOLATES, STANDARD_ERRORS
from prunability.measures.search import HEADLINE, RANDOM_DRAWS, RESOLUTION


def prunability() -> str:
    """The grid of fractions, the tolerances, and the number of random orders."""
    return (
        f"Here G = {RESOLUTION}; the headline's tolerance is {HEADLINE.label} nats, the relative one that stands "
        f"beside it {RELATIVE.label}; *random* is the mean loss over {RANDOM_DRAWS} orders."
    )


def intervals() -> str:
    """What the intervals hold."""
    return (
        f"Intervals hold the middle {CONFIDENCE:.0%} of {RESAMPLES:,} resamples of whole settings, those by seeds "
        f"of {SEED_RESAMPLES:,} resamples of the runs within each."
    )


def double_descent() -> str:
    """What interpolates, and what a peak is."""
    return (
        f"A width interpolates if the mean training error is at most {INTERPOLATES:.0%} there and at every larger "
        "one. A peak is real if it is interior and stands out from the lowest points on either side by more than "
        f"{STANDARD_ERRORS} standard errors."
    )
