"""Headless Chromium, driven through chromedriver's protocol (W3C WebDriver)."""

import base64
import contextlib
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_STARTED = "was started successfully on port "
_SECONDS = 60


class Browser:
    """A Chromium window. It can open files, but cannot reach any network."""

    def __init__(self, port: int):
        self._port = port
        arguments = ["--headless=new", "--disable-gpu", "--hide-scrollbars"]
        arguments += ["--host-resolver-rules=MAP * ~NOTFOUND"]
        if os.geteuid() == 0:  # Chromium's sandbox needs another user
            arguments.append("--no-sandbox")
        capabilities = {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        found = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{found['sessionId']}"

    def open(self, path: Path, width: int, height: int = 900) -> None:
        """Opens a file in a window of the given size in pixels, and waits until it has loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.order("Emulation.setDeviceMetricsOverride", **size)
        self._call("POST", f"{self._session}/url", {"url": path.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs a script and returns its result."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def run_async(self, script: str, *arguments: Any) -> Any:
        """Runs a script and returns the value that it passes to its last argument, a callback."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/async", body)

    def order(self, command: str, **parameters: Any) -> Any:
        """Executes a command of the DevTools protocol."""
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def move_to(self, x: float, y: float) -> None:
        """Moves the pointer to a position in pixels from the window's corner."""
        step = {"type": "pointerMove", "duration": 50, "x": round(x), "y": round(y)}
        pointer = {"type": "pointer", "id": "mouse", "actions": [step]}
        self._call("POST", f"{self._session}/actions", {"actions": [pointer]})

    def errors(self) -> list[str]:
        """Console errors since the last call."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Writes a PNG of the page, or only of its visible part."""
        shot = self.order("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Ends the session; the driver keeps running."""
        self._call("DELETE", self._session)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            value = json.load(answer)["value"]
            if answer.status != http.client.OK:
                raise RuntimeError(f"{value['error']}: {value['message']}")
            return value


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Starts chromedriver and Chromium, and ends both.

    Raises:
      FileNotFoundError: chromedriver is not installed (Debian's package chromium-driver).
    """
    path = shutil.which("chromedriver")
    if path is None:
        raise FileNotFoundError("chromedriver is not installed: apt-get install chromium-driver")
    with subprocess.Popen([path, "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            browser = Browser(_port(driver))
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.terminate()


def _port(driver: "subprocess.Popen[str]") -> int:
    for line in driver.stdout or ():
        if _STARTED in line:
            return int(line.partition(_STARTED)[2].rstrip(".\n"))
    raise RuntimeError("chromedriver did not start")
