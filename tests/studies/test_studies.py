from pathlib import Path

import pytest

from prunability.data.images import ImageSet
from prunability.foundation.errors import PrunabilityError
from prunability.studies import STUDIES, open_study
from prunability.studies.grid import Profile, expand
from prunability.training.config import MLPConfig


def test_every_profile_that_digits_can_serve_expands(tmp_path: Path) -> None:
    for study, profiles in STUDIES.items():
        for name, profile in profiles.items():
            if profile.data == "digits":
                opened = open_study(study, name, "", 0, tmp_path)
                assert len(set(opened.runs)) == len(opened.runs)
                assert frozenset().union(*opened.parts.values()) == {run.hash for run in opened.runs}
                assert "seed" not in opened.hyperparameters


def test_double_descent_is_a_sweep_with_two_more(tmp_path: Path) -> None:
    opened = open_study("double-descent", "quick", "", 0, tmp_path)
    runs = {run.hash: run for run in opened.runs}
    main, noise, epochs = ([runs[name] for name in opened.parts[part]] for part in ("grid", "noise", "epochs"))
    assert len(main) == 14 * 5
    assert all(isinstance(run.network, MLPConfig) and not run.training.stop_at_target for run in runs.values())
    steps = {run.training.max_epochs * (run.data.n_train // run.training.batch_size) for run in main}
    assert steps == {3000}
    assert {run.data.label_noise for run in main + epochs} == {0.2}
    assert {run.data.label_noise for run in noise} == {0.0, 0.1}
    # The shorter trainings are beginnings of networks of the sweep.
    assert {run.seed_key("data order") for run in epochs} <= {run.seed_key("data order") for run in main}
    other = open_study("double-descent", "quick", "", 1, tmp_path)
    assert not {run.hash for run in other.runs} & set(runs)


def test_fields_go_where_they_belong(digits: ImageSet) -> None:
    profile = Profile(
        data="digits",
        grid={"width": [2, 3], "label_noise": [0.0, 0.1], "seed": [0, 1]},
        fixed={"kind": "mlp", "learning_rate": 0.1, "batch_size": 10},
    )
    study = expand("any", "any", profile, "digits", digits.facts, 3)
    assert len(study.runs) == 8
    assert {(run.network.width, run.data.label_noise, run.seed) for run in study.runs} == {
        (width, noise, seed) for width in (2, 3) for noise in (0.0, 0.1) for seed in (300, 301)
    }
    assert study.hyperparameters == ("width", "label_noise")
    wrong = Profile(data="digits", grid={"depth": [1]}, fixed={**profile.fixed, "width": 2})
    with pytest.raises(PrunabilityError, match="depth: Extra inputs are not permitted"):
        expand("any", "any", wrong, "digits", digits.facts, 0)
