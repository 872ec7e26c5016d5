from pathlib import Path

import pytest

from prunability.data.images import ImageSet
from prunability.foundation.errors import PrunabilityError
from prunability.measures import REGISTRY
from prunability.studies import STUDIES, open_study
from prunability.studies.grid import Profile, expand, prunable_sizes
from prunability.training.config import MLPConfig, RunConfig
from prunability.training.origin import Child, Static, Ticket


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


def sparse_runs(profile: str, tmp_path: Path) -> dict[str, list[RunConfig]]:
    opened = open_study("sparse", profile, "", 0, tmp_path)
    return {part: [run for run in opened.runs if run.hash in hashes] for part, hashes in opened.parts.items()}


def test_sparse_has_its_chains_controls_children_and_widths(tmp_path: Path) -> None:
    parts = sparse_runs("quick", tmp_path)
    dense, chains, controls = parts["grid"], parts["tickets"], parts["controls"]
    assert {(run.data.label_noise, run.seed) for run in dense} == {(p, s) for p in (0.0, 0.2) for s in (0, 1, 2)}
    last = max(run.origin.round for run in chains if isinstance(run.origin, Ticket))
    assert 0.8**last <= 0.02 < 0.8 ** (last - 1)
    assert len(chains) == len(dense) * 2 * last
    # Each control has its ticket beside it; each parent is of the study, or a rewind point.
    own = {run.hash for run in (*dense, *chains)}
    plain = {"weights": "rewound", "places": "magnitude"}
    for run in controls:
        assert run.origin is not None
        assert run.model_copy(update={"origin": run.origin.model_copy(update=plain)}).hash in own
    for run in (*chains, *controls, *parts["children"]):
        assert all(parent.hash in own or parent.training.max_epochs == run.begins for parent in run.parents)
    # Some controls stand within a round of a fifth of the weights.
    assert any(abs(0.8**run.origin.round - 0.2) < 0.02 for run in controls if isinstance(run.origin, Ticket))


def test_static_masks_leave_what_the_narrowest_network_has(digits: ImageSet, tmp_path: Path) -> None:
    runs = sparse_runs("quick", tmp_path)["static"]
    counts = {run: sum(prunable_sizes(run.network, digits.facts).values()) for run in runs}
    narrowest = min(counts.values())
    masked = {run: run.origin.density for run in runs if isinstance(run.origin, Static)}
    assert {round(density * counts[run]) for run, density in masked.items()} == {narrowest}
    assert len({run.network.width for run in masked}) == len({run.network.width for run in runs}) - 1 == 3


@pytest.mark.parametrize(
    "profile", [name for name in STUDIES["sparse"] if STUDIES["sparse"][name].data == "digits"]
)
def test_sparse_shares_networks_with_the_correlation_study(profile: str, tmp_path: Path) -> None:
    theirs = set(open_study("correlation", profile, "", 0, tmp_path).runs)
    runs = sparse_runs(profile, tmp_path)["correlation"]
    dense = {run for run in runs if run.origin is None}
    assert dense <= theirs
    assert len(runs) == 3 * len(dense) > 0


def test_what_is_wanted_of_sparse_networks_is_of_the_study(tmp_path: Path) -> None:
    """Partners are members, so that a probe trains nothing; each pair is asked once."""
    opened = open_study("sparse", "quick", "", 0, tmp_path)
    asked = {run: opened.wanted.probes(run) for run in opened.runs}
    pairs = [(run, partner) for run, found in asked.items() for _, partner in found if partner is not None]
    assert {partner for _, partner in pairs} <= set(opened.runs)
    assert not {(partner, run) for run, partner in pairs} & set(pairs)
    first = {run for run in opened.runs if isinstance(run.origin, Child) and run.origin.order == 0}
    assert all(("barrier", None) not in found for found in asked.values())
    assert first < {run for run, _ in pairs}
    assert opened.wanted.measures is not None
    assert set(opened.wanted.measures) <= set(REGISTRY)
