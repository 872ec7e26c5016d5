from itertools import pairwise
from pathlib import Path

from prunability.measures import REGISTRY
from prunability.measures.prequential import GROWTH
from prunability.measures.probes import PROBES
from prunability.studies import open_study
from prunability.studies.learning_curves import PROFILES


def test_what_can_be_shared_is_shared(tmp_path: Path) -> None:
    """Networks on all images are those of the correlation study; checkpoints begin as the longest training does."""
    study = open_study("learning-curves", "quick", "", 0, tmp_path)
    assert study.parts["all"] <= open_study("correlation", "quick", "", 0, tmp_path).parts["grid"]
    runs = {run.hash: run for run in study.runs}
    along = [runs[name] for part in ("grid", "long") for name in study.parts[part]]
    longest = {run.seed_key("data order") for run in along if run.training.max_epochs == 32}
    assert {run.seed_key("data order") for run in along} == longest
    to_target = study.parts["all"] | study.parts["subsets"]
    assert to_target == {name for name, run in runs.items() if run.training.stop_at_target}


def test_blocks_are_those_that_the_probe_knows() -> None:
    for profile in PROFILES.values():
        sizes = [*profile.also["subsets"]["n_train"], *profile.also["all"]["n_train"]]  # type: ignore[index]
        assert {large / small for small, large in pairwise(sizes)} <= set(GROWTH)
        assert sizes[-1] == profile.n_train
        assert set(profile.wanted.measures or ()) <= set(REGISTRY)


def test_the_next_block_is_asked_of_networks_trained_to_the_target(tmp_path: Path) -> None:
    study = open_study("learning-curves", "smoke", "", 0, tmp_path)
    asked = {run.hash for run in study.runs if study.wanted.probes(run)}
    assert asked == study.parts["all"] | study.parts["subsets"]
    assert {name for run in study.runs for name, _ in study.wanted.probes(run)} <= set(PROBES)
