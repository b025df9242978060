"""The kit's own core behind sagemaker-inference and Multi Model Server, which is Java.

Started as the toolkit's own `model_server` starts it, with its settings, but with files in the
working directory instead of /etc, which takes no root. The model's directory is an empty one: Multi
Model Server takes any manifest.json in it for one of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from inference import environment, handler
from inference.handler import input_fn, output_fn, predict_fn

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]


def model_fn(model_dir: str) -> handler.Model:
    """The bundle; `model_dir` is empty."""
    return handler.model_fn(environment.read().model_dir)


def main() -> None:
    """Becomes the program that starts Java and waits for it."""
    settings = environment.read()
    here = Path.cwd()
    place = f"http://{settings.address}:{settings.port}"
    (here / "mms.properties").write_text(
        "enable_envvars_config=true\ndecode_input_request=false\nload_models=ALL\n"
        "default_service_handler=sagemaker_inference.default_handler_service\n"
        f"default_workers_per_model={settings.workers}\n"
        f"inference_address={place}\nmanagement_address={place}\n"
        "default_response_timeout=60\nvmargs=-XX:-UseContainerSupport\n"
    )
    (here / "model").mkdir()
    os.environ |= {
        "SAGEMAKER_PROGRAM": "benchmarks.servers.mms",
        "TEMP": str(here),
        "TMPDIR": str(here),
        "LOG_LOCATION": str(here),
        "METRICS_LOCATION": str(here),
    }
    words = ["-m", "mms.model_server", "--start", "--foreground", "--model-store", "/"]
    words += ["--mms-config", str(here / "mms.properties")]
    words += ["--models", f"model={here / 'model'}"]
    os.execv(sys.executable, [sys.executable, *words])


if __name__ == "__main__":
    main()
