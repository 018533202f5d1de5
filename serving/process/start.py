"""Starting the service as a child process, for `clew serve` and `clew demo`: bound, quiet, awaited, and ended again."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InfrastructureError
from serving.keys.keyring import check_bind
from serving.process.owner import OWNER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.settings import Settings

__all__ = ["ServiceHandle", "serve"]

_START_SECONDS = 90
_STOP_SECONDS = 10
_SERVICE = "serving.service:LeadScoring"


@dataclass(frozen=True)
class ServiceHandle:
    """A running service; `log` is where its supervisor writes."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def running(self) -> bool:
        """Whether the supervisor is alive."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End the supervisor and its workers; again is harmless."""
        atexit.unregister(self.stop)
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _end_group(self.process.pid)
                self.process.wait()

    def wait(self) -> int:
        """Wait until the service ends, or end it on Ctrl-C; return its exit code."""
        try:
            return self.process.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            self.stop()


def serve(
    settings: Settings,
    *,
    background: bool = False,
    target: str = _SERVICE,
    progress: Callable[[str], None] | None = None,
) -> ServiceHandle:
    """Start the service and wait until it is ready.

    Parameters
    ----------
    settings
        Host, port, workers, bundles, scorecard.
    background
        Return as soon as it is ready; the service ends with this process. Otherwise wait until it ends.
    target
        What BentoML serves: the service in this checkout, or the folder or tag of a built Bento.
    progress
        Told what is being waited for; by default a line on a terminal.

    Raises
    ------
    UsageError
        If other machines reach the address and there is no valid API key.
    InfrastructureError
        If the port is in use, or the service ends or is not ready within 90 seconds.
    """
    check_bind(settings)
    _check_port(settings.host, settings.port)
    handle = _start(settings, target)
    atexit.register(handle.stop)
    try:
        _await_ready(handle, progress or _show)
    except BaseException:
        handle.stop()
        raise
    if not background:
        handle.wait()
    return handle


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InfrastructureError(
                f"port {port} on {host} cannot be taken ({error.strerror})",
                hint="stop what listens there, or choose another one with CLEW_PORT or port in clew.yaml",
            ) from None


def _start(settings: Settings, target: str) -> ServiceHandle:
    home = settings.home.absolute()
    log = home / "serving.log"
    try:
        home.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    except OSError as error:
        raise InfrastructureError(
            f"the log of the service cannot be written ({error.strerror})", hint="check space and rights of `home`"
        ) from None
    arguments = ["serve", target, "--host", settings.host, "--port", str(settings.port)]
    with output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "bentoml", *arguments],
            env=_environment(settings, home, target),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C goes to the command alone, which then ends the service in order.
            start_new_session=True,
        )
    return ServiceHandle(process, f"http://{settings.host}:{settings.port}", log)


def _environment(settings: Settings, home: Path, target: str) -> dict[str, str]:
    """Hand the settings on, so that the service sees what the command saw, options included."""
    told = {
        "CLEW_HOME": str(home),
        "CLEW_BUNDLES": str(settings.bundles_dir.absolute()),
        "CLEW_STORE": _absolute(settings.store_url),
        "CLEW_TIMEZONE": settings.timezone,
        "CLEW_TARGET_INDUSTRIES": json.dumps(settings.target_industries),
        "CLEW_HOST": settings.host,
        "CLEW_PORT": str(settings.port),
        "CLEW_WORKERS": str(settings.workers),
        OWNER_VARIABLE: str(os.getpid()),
        "BENTOML_DO_NOT_TRACK": "True",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if target == _SERVICE:
        # A Bento brings its own code; ours before it would be served in its place.
        root = str(Path(__file__).parents[2])
        told["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    if settings.scorecard is not None:
        told["CLEW_SCORECARD"] = str(settings.scorecard.absolute())
    return {"BENTOML_HOME": str(home / "bentoml"), **os.environ, **told}


def _absolute(url: str) -> str:
    """Return the URL of a store as it is from any folder."""
    path = url.removeprefix("sqlite:///")
    return url if path == url else f"sqlite:///{Path(path).absolute()}"


def _await_ready(handle: ServiceHandle, progress: Callable[[str], None]) -> None:
    started = time.monotonic()
    while not _is_ready(handle.url):
        waited = time.monotonic() - started
        if not handle.running:
            raise InfrastructureError(
                f"the service ended with code {handle.process.returncode} before it was ready",
                hint=f"its log is {handle.log}",
            )
        if waited > _START_SECONDS:
            raise InfrastructureError(
                f"the service was not ready within {_START_SECONDS} s", hint=f"its log is {handle.log}"
            )
        progress(f"waiting for the service to be ready ({waited:.0f} s)")
        time.sleep(0.2)
    progress(f"the service is ready at {handle.url}")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - a url made above
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _show(message: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{message}")
        sys.stderr.flush()


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
