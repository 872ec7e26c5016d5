"""The study of simplicity bias on LMS, a linear coordinate beside those of slabs, rotated (Shah et al. 2020)."""

from prunability.studies.simplicity import profile

PROFILES = {
    "smoke": profile("lms-3", 100, [8, 16], 3, 0.005, 5, claims=False, made_here=True),
    "quick": profile("lms-5", 2000, [64], 9, 0.005, 15, claims=False, made_here=True),
    "small": profile("lms-7", 2000, [256], 9, 0.005, 15, claims=False),
}
