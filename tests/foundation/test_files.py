import json
import math
import os
from pathlib import Path

import psutil
import pytest

from prunability.foundation.errors import PrunabilityError, shown
from prunability.foundation.files import expanded, read, replacing, updated, write


@pytest.mark.parametrize("before", [None, "", "{ damaged", "[]", "3"])
def test_what_is_no_object_is_taken_for_empty(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "folder" / "content.json"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    with updated(path) as content:
        assert content == {}
        content["b"], content["a"] = [1, math.nan, math.inf], {"x": 0.1}
    text = path.read_text()
    assert list(json.loads(text)) == ["a", "b"]
    # Strict JSON: there is no word in it for what is no number.
    assert json.loads(text, parse_constant=pytest.fail) == {"a": {"x": 0.1}, "b": [1, None, None]}
    with updated(path) as content:
        assert content["b"] == [1, None, None]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("ne")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_links_devices_and_folders_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    before = set(tmp_path.iterdir())
    for name in ("link", "dangling", "pipe", "", "/dev/null"):
        with pytest.raises(PrunabilityError, match=r"not a regular file.*name another"):
            write(tmp_path / name, b"new")
    assert (set(tmp_path.iterdir()), (tmp_path / "target").read_text()) == (before, "kept")


def test_only_regular_files_are_read_and_no_pipe_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content := os.urandom(100_000))
    (tmp_path / "link").symlink_to("file")
    assert read(tmp_path / "file") == read(tmp_path / "link") == content
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    before = psutil.Process().num_fds()
    for name in ("dangling", "pipe", "", "/dev/null"):
        with pytest.raises(OSError, match="it is not a regular file"):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")
    with pytest.raises(NotADirectoryError):
        read(tmp_path / "file" / "inside")
    assert psutil.Process().num_fds() == before


def test_homes_of_nobody_and_odd_names_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expanded("~/a~b", "runs") == Path("/somewhere/a~b")
    with pytest.raises(PrunabilityError, match=r"^runs: '~nouser/\\na' can be no path .*; name another place$"):
        expanded("~nouser/\na", "runs")
    assert shown("café 日本") == "café 日本"
    assert shown(os.fsdecode(b"\xe9\x1b[2J\n")) == r"\udce9\x1b[2J\n"


@pytest.mark.parametrize("most", [1, 7, 100])
def test_a_file_is_read_to_its_end_however_little_comes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    (tmp_path / "file").write_bytes(content := bytes(range(100)))
    whole = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: whole(descriptor, min(size, most)))
    assert read(tmp_path / "file") == content
    (tmp_path / "file").write_bytes(b"")
    assert read(tmp_path / "file") == b""
