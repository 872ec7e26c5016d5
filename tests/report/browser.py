"""A headless Chromium, driven by its own protocol."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


class Tab:
    """An open page: what is asked of it is JavaScript."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=120, suppress_origin=True)
        self.sent = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.sent:
            pass
        found: dict[str, Any] = answer["result"]
        return found

    def ask(self, code: str) -> Any:
        """The value of an expression, awaited."""
        found = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, code: str, seconds: float = 300) -> Any:
        """The value of an expression once it is true."""
        end = time.monotonic() + seconds
        while not (found := self.ask(code)):
            assert time.monotonic() < end, f"never came true: {code}"
            time.sleep(0.3)
        return found


@contextmanager
def opened(address: str, profile: Path) -> Iterator[Tab]:
    """A tab at an address, in a browser of its own, whose settings go to ``profile``."""
    command = [str(BROWSER), *QUIET, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    browser = subprocess.Popen([*command, "--window-size=1280,4000", address], stderr=subprocess.DEVNULL)
    try:
        told, end = profile / "DevToolsActivePort", time.monotonic() + 60
        while not told.exists() or not told.read_text().strip():
            assert time.monotonic() < end, "Chromium does not start"
            time.sleep(0.1)
        port = told.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
            (page,) = (tab for tab in json.load(answer) if tab["type"] == "page")
        tab = Tab(page["webSocketDebuggerUrl"])
        yield tab
        tab.socket.close()
    finally:
        browser.terminate()
        browser.wait(timeout=30)
