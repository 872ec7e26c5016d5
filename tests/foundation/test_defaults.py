import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prunability.foundation.defaults import defaults
from prunability.foundation.execution import Execution
from prunability.records.runner import survey
from prunability.report.curves import Curves
from prunability.studies import Study

# Trains and measures one small network in a process whose startup file set much, and draws one curve of it.
PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_float32_matmul_precision("medium")
torch.set_grad_enabled(False)
torch.set_num_threads(2)
np.seterr(all="raise")
from prunability.foundation.execution import Execution
from prunability.records.runner import complete
from prunability.report.curves import Curves
from prunability.studies import open_study
root = Path(sys.argv[1])
execution = Execution(device="cpu", workers=1, runs=root / "runs", data=root, results=root / "results")
study = open_study("correlation", "smoke", "", 0, root)
study = replace(study, runs=study.runs[-1:])
(record,) = complete(study, execution)
print(json.dumps([record.checksum, Curves(study, [record], execution).of(record.config.hash, "random", 20)]))
"""


def test_what_a_startup_file_sets_changes_no_result(made: tuple[Study, Execution], tmp_path: Path) -> None:
    study, execution = made
    (record,) = survey(replace(study, runs=study.runs[-1:]), execution).done
    expected = [record.checksum, Curves(study, [record], execution).of(record.config.hash, "random", 20)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_what_was_set_is_so_again_afterwards() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with pytest.raises(ValueError, match="inside"), defaults():
            assert torch.zeros(1).dtype == torch.float32
            assert torch.zeros(1).device.type == "cpu"
            raise ValueError("inside")
        assert torch.zeros(1).dtype == torch.float64
        assert torch.zeros(1).device.type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
