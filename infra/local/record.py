"""cloud.json: which daemon serves a state directory, and whether it still is that one."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local import processes

FILE = "cloud.json"
HEALTH = "/_local/health"
HEALTH_TIMEOUT = 10.0


@dataclass(frozen=True)
class Record:
    """A daemon: its process, known by pid and start time, its address, and its clients' key."""

    pid: int
    started: str
    port: int
    access_key: str

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, root: Path) -> None:
        """Put it in place, whole or not at all."""
        temporary = root / f"{FILE}.{self.pid}"
        with temporary.open("w") as file:
            json.dump({**asdict(self), "url": self.url}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(root / FILE)

    @classmethod
    def read(cls, root: Path) -> Record | None:
        """The recorded daemon; None when there is no record that can be read."""
        try:
            content = json.loads((root / FILE).read_text())
            return cls(
                int(content["pid"]),
                str(content["started"]),
                int(content["port"]),
                str(content["access_key"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_alive(self) -> bool:
        """Whether its process is still the one that was recorded."""
        return processes.is_alive(self.pid, self.started)

    def answers(self) -> bool:
        """Whether it is alive, and it is who answers at its address."""
        if not self.is_alive():
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HEALTH_TIMEOUT)
        try:
            connection.request("GET", HEALTH)
            response = connection.getresponse()
            return bool(response.status == 200 and json.loads(response.read())["pid"] == self.pid)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False
        finally:
            connection.close()
