"""SageMaker's inference toolkit and Multi Model Server, the real ones, on 127.0.0.1.

They need Java, and live in an environment of their own: what they pin has no place beside the rest.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import serving
from tests.support.containers import with_files
from tests.support.serving import ROOT, Server
from training import containers

ENVIRONMENT = ROOT / ".venv-toolkit"
REQUIREMENTS = ROOT / "requirements" / "toolkit.txt"
NO_JAVA = "" if shutil.which("java") else "Multi Model Server needs Java, which is not installed"
"""Why it cannot be started here, if it cannot."""

START = """
import sys
import psutil
from sagemaker_inference import model_server

config = sys.argv[1]
everything = psutil.process_iter

def of_this_server():
    for process in everything():
        try:
            if config in process.cmdline():
                yield process
        except psutil.Error:
            pass

# In a container it writes to /etc, and there is no other server on the machine.
model_server.MMS_CONFIG_FILE = config
psutil.process_iter = of_this_server
model_server.start_model_server()
"""


def environment() -> Path:
    """The folder of the programs of the toolkit's environment, which is made once."""
    with REQUIREMENTS.open() as wanted:
        fcntl.flock(wanted, fcntl.LOCK_EX)  # two of the suite's workers may want it at once
        if not (ENVIRONMENT / "toolkit.stamp").exists():
            install = (sys.executable, ROOT / "requirements" / "install.py")
            subprocess.run([*install, ENVIRONMENT, REQUIREMENTS], check=True)
    return ENVIRONMENT / "bin"


def packed(bundle: Path, to: Path) -> Path:
    """A copy of a bundle with the code that the toolkit wants of it."""
    return with_files(bundle, to, containers.files_for("toolkit"))


@contextmanager
def serve(bundle: Path, log: Path, *, workers: int = 1) -> Iterator[Server]:
    """The toolkit's server with a bundle that holds `code/`; ended on leaving.

    Args:
        bundle: is used where it is.
        log: takes what the toolkit, Java and the workers say.
        workers: processes that answer.
    """
    programs = environment()
    # Not pytest's folder: the workers' sockets lie here, and a socket's path has to be short.
    place = Path(tempfile.mkdtemp(prefix="mms-"))
    (place / "model").symlink_to(bundle)
    config = place / "mms.properties"
    port = serving.free_port()
    address = f"http://127.0.0.1:{port}"
    variables = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "",
        "PYTHONDONTWRITEBYTECODE": "",
        "SAGEMAKER_BASE_DIR": str(place),
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": str(place / "model" / "code"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": str(workers),
        "MMS_INFERENCE_ADDRESS": address,
        "MMS_MANAGEMENT_ADDRESS": address,
        "LOG_LOCATION": str(place),
        "METRICS_LOCATION": str(place),
        "TEMP": str(place),
        "TMPDIR": str(place),
    }
    command = (programs / "python", "-c", START, config)
    try:
        with serving.running(command, log, cwd=place, variables=variables) as process:
            server = Server(port, process, log)
            serving.wait_until_ready(server)
            yield server
    finally:
        shutil.rmtree(place, ignore_errors=True)
