"""What a training has reached, on a disk that damages it, is full or cannot be read."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import altered
from prunability.training import checkpoints
from prunability.training.checkpoints import SIGNED, keep, resume
from prunability.training.config import RunConfig
from prunability.training.course import Course

NAMES = ("network", "seconds")
STATE = {"network": {"weight": torch.arange(50.0)}, "seconds": 1.5}


@pytest.fixture
def path(small_run: RunConfig, tmp_path: Path) -> Path:
    course = Course(small_run)
    course.curve, course.total, course.steps = [(2.0, None), (1.5, 0.04)], 37.5, 24
    keep(tmp_path / "one.checkpoint", small_run, course, STATE)
    return tmp_path / "one.checkpoint"


def gone_on(path: Path, config: RunConfig) -> tuple[dict[str, Any] | None, Course]:
    course = Course(config)
    return resume(path, config, course, NAMES), course


def fresh(course: Course) -> bool:
    return not course.curve and (course.total, course.steps, course.close) == (0.0, 0, False)


def test_what_is_kept_is_gone_on_from(path: Path, small_run: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    found, course = gone_on(path, small_run)
    assert found is not None
    assert torch.equal(found["network"]["weight"], STATE["network"]["weight"])  # type: ignore[index]
    assert (course.curve, course.total, course.steps) == ([(2.0, None), (1.5, 0.04)], 37.5, 24)
    path.unlink()
    assert gone_on(path, small_run)[0] is None
    assert capsys.readouterr().err == ""


def test_no_flipped_bit_and_no_truncation_is_gone_on_from(
    path: Path, small_run: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = path.read_bytes()
    damaged = [whole[:length] for length in (*range(0, len(whole), 97), len(whole) - 1)]
    for place in range(0, len(whole), 23):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    for content in (*damaged, whole + b"\0", whole[SIGNED:], b"hello world" * 50):
        path.write_bytes(content)
        found, course = gone_on(path, small_run)
        assert found is None
        assert fresh(course)
        assert capsys.readouterr().err.startswith(f"{path}: its content does not match its checksum; the training")
    path.write_bytes(whole)
    assert gone_on(path, small_run)[0] is not None


def test_what_is_whole_and_of_something_else_is_not_gone_on_from(
    path: Path, small_run: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gone_on(path, altered(small_run, weight_decay=0.1))[0] is None
    assert "it is of another training; the training begins anew" in capsys.readouterr().err
    assert resume(path, small_run, course := Course(small_run), ("network", "moments")) is None
    assert fresh(course)
    assert "another way of training, without moments" in capsys.readouterr().err
    stream = io.BytesIO()
    torch.save({"run": small_run.seed_key("checkpoint")[0], **STATE}, stream)
    for content in (b"no archive", stream.getvalue()):
        path.write_bytes(hashlib.sha256(content).digest() + content)
        found, course = gone_on(path, small_run)
        assert (found, fresh(course)) == (None, True)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{path}: it ")
        assert line.endswith("; the training begins anew")


def test_what_is_no_file_is_left_and_does_not_hang(
    path: Path, small_run: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    for make in (os.mkfifo, Path.mkdir, lambda place: place.symlink_to("nowhere")):
        path.unlink(missing_ok=True)
        make(path)
        assert gone_on(path, small_run)[0] is None
        assert capsys.readouterr().err == f"{path}: it is not a regular file; the training begins anew\n"
        path.rename(path.with_name("aside")) if path.is_dir() else path.unlink()


def test_a_full_disk_ends_no_training(
    path: Path, small_run: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    checkpoints.keep(path, small_run, Course(small_run), {"network": {}, "seconds": 2.0})
    assert "one.checkpoint: cannot be written (No space left on device)" in capsys.readouterr().err
    assert (path.read_bytes(), list(path.parent.iterdir())) == (before, [path])
