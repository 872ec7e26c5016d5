"""Tests of the order of runs: any beginning of a study is nearly balanced."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunability.data.images import DataFacts
from prunability.studies import find_profile
from prunability.studies.grid import expand
from prunability.studies.order import BLOCK, balanced, blocks

FACTS = DataFacts("invented", "0" * 64, 10, 50_000, 10_000, (3, 32, 32))
GRIDS = [("correlation", name) for name in ("quick", "small", "medium", "paper")]
GRIDS += [("double-descent", name) for name in ("quick", "medium")]


@pytest.mark.parametrize(("name", "profile"), GRIDS)
def test_blocks_hold_every_run_once_and_one_seed_each(name: str, profile: str) -> None:
    study = expand(name, profile, find_profile(name, profile), None, FACTS, 0)
    made = blocks(study)
    assert sorted(run.hash for block in made for run in block) == sorted(run.hash for run in study.runs)
    main = [block for block in made if {run.hash for run in block} <= study.parts["grid"]]
    assert made[: len(main)] == main
    assert all(len({run.seed for run in block}) == 1 and len(block) <= BLOCK for block in main)
    # The settings of the first block are the second's, with another seed, where there is one.
    seeds = len({run.seed for block in main for run in block})
    assert len({tuple(run.setting_hash for run in block) for block in main[:seeds]}) == 1


@pytest.mark.parametrize(("name", "profile"), GRIDS[:4])
def test_a_first_block_is_a_balanced_study(name: str, profile: str) -> None:
    """Levels are equally frequent, pairs of levels differ by two runs at most."""
    study = expand(name, profile, find_profile(name, profile), None, FACTS, 0)
    block = blocks(study)[0]
    for names, apart in [(1, 0), (2, 2)]:
        for chosen in itertools.combinations(study.hyperparameters, names):
            counts = Counter(tuple(run.setting(one) for one in chosen) for run in block)
            levels = [len({run.setting(one) for run in study.runs}) for one in chosen]
            assert len(counts) == (levels[0] if names == 1 else levels[0] * levels[1])
            assert max(counts.values()) - min(counts.values()) <= apart, (chosen, counts)


@settings(max_examples=30)
@given(st.lists(st.integers(2, 3), min_size=1, max_size=4))
def test_the_order_is_one_of_all_settings_and_its_levels_take_turns(levels: list[int]) -> None:
    grid = list(itertools.product(*map(range, levels)))
    order = balanced(grid)
    assert sorted(order) == list(range(len(grid)))
    first = [grid[at] for at in order[: max(levels)]]
    assert all(len({setting[axis] for setting in first}) == count for axis, count in enumerate(levels))
