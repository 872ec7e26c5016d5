"""All studies: a new one is a module of this package with its ``PROFILES``.

They are specifications, not results, and use what a run is and which of its weights a mask leaves.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from prunability.data.dataset import projection
from prunability.data.sources import by_definition, in_parts, load_images
from prunability.foundation.errors import PrunabilityError
from prunability.studies.grid import Profile, Study, expand

_MODULES = {module.name: import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)}
STUDIES: dict[str, dict[str, Profile]] = {
    name.replace("_", "-"): module.PROFILES for name, module in _MODULES.items() if hasattr(module, "PROFILES")
}


def profiles(study: str) -> dict[str, Profile]:
    """The profiles of a study.

    Raises:
        PrunabilityError: there is no such study.
    """
    if study not in STUDIES:
        raise PrunabilityError(f"unknown study {study!r}: it must be one of {', '.join(STUDIES)}")
    return STUDIES[study]


def find_profile(study: str, profile: str) -> Profile:
    """One profile of a study.

    Raises:
        PrunabilityError: there is no such study or profile.
    """
    known = profiles(study)
    if profile not in known:
        raise PrunabilityError(f"{study} has no profile {profile!r}: it must be one of {', '.join(known)}")
    return known[profile]


def having(profile: str, studies: Iterable[str] = STUDIES) -> list[str]:
    """Those of some studies that have a profile; all of them if none has, which then say so."""
    return [study for study in studies if profile in profiles(study)] or list(studies)


def fits(study: str, profile: str, data: str) -> bool:
    """Whether a study can be put to a source, or to its own, which ``data`` is empty for.

    One of images in two parts needs such, and one of images that are made by definition is of no others.
    """
    own = find_profile(study, profile).data
    return not data or not in_parts(own) or (in_parts(data) and not by_definition(own))


def open_study(study: str, profile: str, data: str, seed: int, cache: Path) -> Study:
    """The study on the profile's own data (``data`` empty) or on another source.

    Raises:
        PrunabilityError: a name is unknown, or the data cannot be had or do not fit.
    """
    size = find_profile(study, profile)
    source = data or size.data
    images = load_images(source, cache)
    found = expand(study, profile, size, source, images.facts, seed)
    if any(run.data.shuffled for run in found.runs):
        projection(images)
    return found


__all__ = ["STUDIES", "Profile", "Study", "expand", "find_profile", "fits", "having", "open_study", "profiles"]
