"""A service started by a command ends with it, however the command ends."""

from __future__ import annotations

import os
import signal
import threading
import time

__all__ = ["OWNER_VARIABLE", "follow_owner"]

OWNER_VARIABLE = "CLEW_OWNER_PID"
_INTERVAL_SECONDS = 0.5


def follow_owner() -> None:
    """Watch the parent in a thread and ask this process to end when it is gone.

    Only where `CLEW_OWNER_PID` names the command that started the service. The supervisor watches that command, each
    worker watches the supervisor: a process whose parent ends gets another one, on Linux and on macOS alike.
    """
    owner = os.environ.get(OWNER_VARIABLE, "")
    if owner.isdigit():
        parent = os.getppid()
        threading.Thread(target=_watch, args=(parent, int(owner)), name="owner", daemon=True).start()


def _watch(parent: int, owner: int) -> None:
    # The owner may have gone before this process came to look.
    while os.getppid() == parent and _exists(owner):
        time.sleep(_INTERVAL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
