"""Which runs are trained side by side: the jobs of a study's missing runs."""

import math
from collections.abc import Sequence
from itertools import chain, groupby

from prunability.foundation.execution import Execution
from prunability.records.origins import generation
from prunability.studies.grid import Study
from prunability.studies.order import blocks
from prunability.training.config import RunConfig, shape_of
from prunability.training.strategy import fleet_size


def fleets(configs: Sequence[RunConfig], study: Study, execution: Execution) -> list[list[RunConfig]]:
    """Runs of a study that are trained side by side; a job for each process, if it can be.

    Runs that come from one another are of one job, which trains them a generation at a time.
    """
    families = _families(sorted(configs, key=extent, reverse=True))
    if execution.torch_device.type == "cuda":
        # One block after another: what is done early is then a study of all hyperparameters.
        place = {run: at for at, block in enumerate(blocks(study)) for run in block}

        def block(family: list[RunConfig]) -> int:
            return place.get(family[0], len(place))

        parts = [list(part) for _, part in groupby(sorted(families, key=block), key=block)]
        return [list(chain(*same)) for part in parts for same in _by_shape(part)]
    jobs, shapes = [], _by_shape(families)
    for same in shapes:
        share = math.ceil(len(same) * len(shapes) / execution.processes)
        size = min(fleet_size(same[0][0], study.data.shape) or 1, share)
        jobs += [list(chain(*same[start : start + size])) for start in range(0, len(same), size)]
    # Chains take longest.
    return sorted(jobs, key=lambda job: max(map(generation, job)), reverse=True)


def _families(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Runs of one dense network, parents first, where any of them has an origin; else each by itself."""
    kin: dict[str, list[RunConfig]] = {}
    for run in configs:
        kin.setdefault(run.seed_key("")[0], []).append(run)
    found: list[list[RunConfig]] = []
    for run in configs:
        family = kin[run.seed_key("")[0]]
        if not any(member.origin for member in family):
            found.append([run])
        elif run is family[0]:
            found.append(sorted(family, key=generation))
    return found


def _by_shape(families: Sequence[list[RunConfig]]) -> list[list[list[RunConfig]]]:
    shapes: dict[str, list[list[RunConfig]]] = {}
    for family in families:
        shapes.setdefault(shape_of(family[0]), []).append(family)
    return list(shapes.values())


def extent(config: RunConfig) -> tuple[int, int]:
    """How large a network is, roughly."""
    return config.network.width, getattr(config.network, "depth", 0)
