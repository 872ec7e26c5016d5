import _thread
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from typer.testing import CliRunner

from prunability.cli import app
from prunability.data import download as download_module
from prunability.data import sources
from prunability.data.download import download
from prunability.data.sources import CIFAR10_FILES, at_hand, load_images
from prunability.foundation.errors import PrunabilityError
from prunability.report import session

# Set when a server that says nothing ends what nobody interrupted.
GAVE_UP = threading.Event()
CONTENT = np.random.default_rng(0).bytes(3 * download_module.CHUNK // 2)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address whose /file is the file; /half and /html end with less, /stalls and /silent do not end."""
    monkeypatch.setenv("no_proxy", "*")
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/silent":
                if not over.wait(5):
                    GAVE_UP.set()
                return
            body = b"<!DOCTYPE html>\n<p>Log in</p>" if self.path == "/html" else CONTENT
            self.send_response(404 if self.path == "/nothing" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path in ("/half", "/stalls") else body)
            if self.path == "/stalls":
                over.wait(60)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        over.set()
        serving.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "file"
    download(f"{server}/file", path, MD5)
    assert path.read_bytes() == CONTENT
    assert capsys.readouterr().err == f"downloading {server}/file to {path}\n"
    download(f"{server}/silent", path, MD5)
    path.write_bytes(CONTENT[1:])
    download(f"{server}/file", path, MD5)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/html", "sent another file, or not all of it: 29 bytes, beginning with '<!DOCTYPE html"),
        ("/half", f"sent another file, or not all of it: {len(CONTENT) // 2:,} bytes"),
        ("/nothing", "404"),
        ("/silent", "timed out"),
        ("/stalls", "timed out"),
        (":no port", "port"),
    ],
)
def test_anything_else_is_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, expected: str
) -> None:
    monkeypatch.setattr(download_module, "SILENCE", 0.5)
    with pytest.raises(PrunabilityError, match=expected) as refused:
        download(server + place, tmp_path / "file", MD5)
    assert str(refused.value).startswith(server)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_pipe_in_its_place_is_left_and_does_not_hang(server: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with pytest.raises(PrunabilityError, match="file is not a regular file, and is left as it is"):
        download(f"{server}/file", tmp_path / "file", MD5)


def test_an_interruption_ends_what_waits_for_the_network(server: str, tmp_path: Path) -> None:
    timer = threading.Timer(0.5, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        download(f"{server}/silent", tmp_path / "file", MD5)
    assert not GAVE_UP.is_set()
    assert not list(tmp_path.iterdir())


def test_a_time_limit_ends_a_download(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{server}/stalls")
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    command = ["run", "correlation", "--profile", "small", "--data", "cifar10", "--time-limit", "1s"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    assert "the time is over" in told.output
    assert not list((tmp_path / "data").glob("*"))


@pytest.mark.parametrize("place", ["/html", "/nothing"])
def test_cifar10_that_cannot_be_had(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", server + place)
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    with pytest.raises(PrunabilityError, match=r"cifar10 could not be downloaded.*folder:PATH"):
        load_images("cifar10", tmp_path / "data")
    told = CliRunner().invoke(app, ["images", "cifar10"])
    assert told.exit_code == 2
    assert "prunability: cifar10 could not be downloaded" in told.output


def test_half_of_cifar10_is_not_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CIFAR10_FILES[1:]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert not at_hand("cifar10", tmp_path)
    (tmp_path / CIFAR10_FILES[0]).touch()
    assert at_hand("cifar10", tmp_path)
    parts = [*torchvision.datasets.CIFAR10.train_list, *torchvision.datasets.CIFAR10.test_list]
    assert {Path(name).name for name in CIFAR10_FILES} == {*(name for name, _ in parts), "batches.meta"}


def test_cifar10_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stand:
        url, filename, tgz_md5 = "http://nowhere", "archive", MD5

        def __init__(self, root: Path, train: bool, download: bool) -> None:
            if not download:
                raise RuntimeError("Dataset not found or corrupted.")
            self.data = np.full((4 if train else 2, 32, 32, 3), 7, dtype=np.uint8)
            self.data[0, 1, 2, 0] = 200
            self.targets = [3] * len(self.data)

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Stand)
    fetched: list[tuple[str, Path, str]] = []
    monkeypatch.setattr(sources, "download", lambda *what: fetched.append(what))
    found = load_images("cifar10", tmp_path)
    assert found.images["train"].shape == (4, 3, 32, 32)
    assert found.images["train"][0, 0, 1, 2] == 200
    assert fetched == [("http://nowhere", tmp_path / "archive", MD5)]
