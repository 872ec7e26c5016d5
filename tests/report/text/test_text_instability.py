"""What the notebook on noise and instability says."""

import pandas as pd

from prunability.report.text import instability as text


def test_what_wrong_labels_change_goes_from_the_fewest_to_the_most() -> None:
    rows = [(share, seed, 100 * (1 + share) + seed, share / 2) for share in (0.8, 0.0, 0.4) for seed in (0, 2)]
    table = pd.DataFrame(rows, columns=["label_noise", "seed", "steps", "test_error"])
    means = table.groupby("label_noise").mean()
    said = text.wrong_labels(table, {"steps": "steps to fit"})
    assert f"steps to fit {means['steps'][0.0]:,.0f} to {means['steps'][0.8]:,.0f};" in said
    assert f"test error {means['test_error'][0.0]:.2f} to {means['test_error'][0.8]:.2f}" in said
    assert said.startswith("From 0% to 80% wrong labels")
    assert text.wrong_labels(table[:0], {"steps": "steps to fit"}) == "No network reached the target loss."
