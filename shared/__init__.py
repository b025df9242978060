"""What training, inference and deployment must agree on. Importing it loads numpy at most."""

import os

# ONNX Runtime's builds keep a device id and report to their maker, unless told before they load.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
