"""Fleets: the model servers of one endpoint configuration, as processes on this machine.

A fleet has a variant per production variant, a variant has as many instances as its configuration
asks for, and an instance is one server process on a port of its own. A fleet starts as a whole or
fails with a reason; after that, a server that dies is started again.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from typing import Any

from infra.local import archives, images
from infra.local.buckets import Buckets, Location, MissingError
from infra.local.launch import Layout
from infra.local.logs import LogStream, pump
from infra.local.models import Model
from infra.local.processes import Process, remove_tree
from infra.local.state import Cloud

ADDRESS = "127.0.0.1"
INVOCATION_TIMEOUT = 60.0
PING_TIMEOUT = 2.0
PING_INTERVAL = 0.1
STOP_GRACE = 30.0
READ_GRACE = 5.0
LONGEST_PAUSE = 30.0
PORTS = range(20000, 32000)  # below what systems hand out to outgoing connections


class FleetError(Exception):
    """A fleet could not start; the text is the endpoint's FailureReason."""


class UnreachableError(Exception):
    """A server took a request and gave no answer."""


Answer = tuple[int, Message, bytes]


class Instance:
    """One server process and the connections to it."""

    def __init__(
        self, cloud: Cloud, image: images.Image, layout: Layout, log: LogStream, environment: Any
    ) -> None:
        self._cloud = cloud
        self._image = image
        self._layout = layout
        self._environment = dict(environment)
        self._log = log
        self._idle: list[http.client.HTTPConnection] = []
        self._process: Process | None = None
        self._reader: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self.ready = False
        self.busy = 0
        self.served = 0
        self.port = 0

    def start(self, timeout: float) -> str | None:
        """Start the server and wait for its first healthy ping; why not, if there was none."""
        self._launch()
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self._closing.is_set():
            code = self._process.wait(PING_INTERVAL)
            if code is not None:
                return f"The server process ended with exit code {code}."
            if self._healthy():
                self.ready = True
                threading.Thread(target=self._keep, daemon=True).start()
                return None
        return f"It did not answer GET /ping with 200 within {timeout:g} seconds."

    def _launch(self) -> None:
        """Start the process, unless the instance has been stopped meanwhile."""
        command = self._image.command("serve")
        assert command is not None
        assert self._image.tree is not None
        with self._starting:
            if self._closing.is_set():
                return
            self.port = _free_port()
            self._process = Process(
                command,
                cwd=self._image.tree,
                environment={**self._environment, "SAGEMAKER_BIND_TO_PORT": str(self.port)},
                ledger=self._cloud.ledger,
            )
            self._reader = pump(self._process.output, self._log.write)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=PING_TIMEOUT)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _keep(self) -> None:
        """Start the server again whenever it ends, with growing pauses while it keeps ending."""
        pause = 0.5
        while True:
            assert self._process is not None
            begun = time.monotonic()
            code = self._process.wait()
            self.ready = False
            self._drop_idle()
            if self._closing.is_set():
                return
            pause = 0.5 if time.monotonic() - begun > 60 else min(pause * 2, LONGEST_PAUSE)
            self._log.write(f"[local cloud] the server ended with exit code {code}; starting again")
            if self._closing.wait(pause):
                return
            try:
                self._launch()
            except (OSError, FleetError) as error:
                self._log.write(f"[local cloud] the server cannot be started: {error}")
                continue
            while self._process.wait(PING_INTERVAL) is None and not self._closing.is_set():
                if self._healthy():
                    self.ready = True
                    break

    def call(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST to the server.

        Raises:
            TimeoutError: no answer in time.
            UnreachableError: the server closed the connection.
        """
        while True:
            try:
                connection, used = self._idle.pop(), True
            except IndexError:
                connection = http.client.HTTPConnection(
                    ADDRESS, self.port, timeout=INVOCATION_TIMEOUT
                )
                used = False
            try:
                connection.request("POST", path, body=body, headers=dict(headers))
                response = connection.getresponse()
                answer = (response.status, response.headers, response.read())
            except TimeoutError:
                connection.close()
                raise
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if used and isinstance(error, ConnectionError):
                    continue
                raise UnreachableError(str(error)) from None
            if response.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            return answer

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after 30 seconds, as on SageMaker's hosting."""
        with self._starting:
            self._closing.set()
        self.ready = False
        if self._process is not None:
            self._process.stop(STOP_GRACE)
        if self._reader is not None:
            self._reader.join(READ_GRACE)
        self._drop_idle()
        self._log.close()


class Variant:
    """One production variant: a model, a weight and instances."""

    def __init__(self, settings: Mapping[str, Any], model: Model) -> None:
        self.name = str(settings["VariantName"])
        self.weight = float(settings["InitialVariantWeight"])
        self.count = int(settings["InitialInstanceCount"])
        self.settings = settings
        self.model = model
        self.instances: list[Instance] = []
        self.credit = 0.0

    @property
    def image_uri(self) -> str:
        """The image it was asked to run."""
        return str(self.model.container["Image"])


class Fleet:
    """Every server of one endpoint configuration."""

    def __init__(self, cloud: Cloud, endpoint: str, config: str, variants: list[Variant]) -> None:
        self._cloud = cloud
        self._endpoint = endpoint
        self.config = config
        self.variants = variants
        self._place = cloud.work / "endpoints" / endpoint / uuid.uuid4().hex[:8]
        self._turn = threading.Condition()
        self._requests = 0

    @property
    def log_group(self) -> str:
        """Where its servers' output goes."""
        return log_group(self._endpoint)

    def start(self) -> None:
        """Start every server and wait until all are healthy.

        Raises:
            FleetError: one of them is not; the others have been stopped.
        """
        try:
            for variant in self.variants:
                self._prepare(variant)
            instances = [(each, one) for each in self.variants for one in each.instances]
            with ThreadPoolExecutor(len(instances)) as pool:
                faults = list(
                    pool.map(lambda pair: pair[1].start(self._patience(pair[0])), instances)
                )
            for (variant, _), fault in zip(instances, faults, strict=True):
                if fault:
                    raise FleetError(
                        f"The primary container for production variant {variant.name} did not "
                        "pass the ping health check. Please check CloudWatch logs for this "
                        f"endpoint. {fault}"
                    )
        except BaseException:
            self.stop()
            raise

    def _patience(self, variant: Variant) -> float:
        own = variant.settings.get("ContainerStartupHealthCheckTimeoutInSeconds")
        return float(own or self._cloud.settings.startup_timeout)

    def _prepare(self, variant: Variant) -> None:
        uri = variant.image_uri
        image = images.resolve(self._cloud.client("ecr"), self._cloud.images, uri)
        if image is None:
            raise FleetError(
                f"The image '{uri}' of production variant {variant.name} does not exist. The local "
                "cloud runs images that were pushed to it."
            )
        if image.tree is None or image.command("serve") is None:
            raise FleetError(
                f"The image '{uri}' of production variant {variant.name} has no serve command."
            )
        layout = Layout(self._place / variant.name / "opt" / "ml")
        layout.model.mkdir(parents=True)
        self._fetch(variant.model.container, layout)
        environment = {
            **self._cloud.environment,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(image.tree),
            **{
                name: layout.relocate(value)
                for name, value in variant.model.container.get("Environment", {}).items()
            },
            "SAGEMAKER_BASE_DIR": str(layout.base),
            "SM_MODEL_DIR": str(layout.model),
            "SERVER_ADDRESS": ADDRESS,
        }
        for _ in range(variant.count):
            stream = f"{variant.name}/i-{uuid.uuid4().hex[:17]}"
            log = LogStream(self._cloud.client("logs"), self.log_group, stream)
            variant.instances.append(Instance(self._cloud, image, layout, log, environment))

    def _fetch(self, container: Mapping[str, Any], layout: Layout) -> None:
        """The model's data into the layout's model directory, read-only from then on."""
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        uri = container.get("ModelDataUrl") or source.get("S3Uri")
        if not uri:
            return
        buckets = Buckets(self._cloud.client("s3"))
        try:
            if source.get("S3DataType") == "S3Prefix" and source["CompressionType"] == "None":
                buckets.download_prefix(Location.parse(uri), layout.model)
            else:
                archive = layout.base / "model.tar.gz"
                buckets.download(Location.parse(uri), archive)
                archives.extract(archive, layout.model)
                archive.unlink()
        except MissingError:
            raise FleetError(
                f'Failed to download model data for container "container_1" from URL: "{uri}". '
                "Please ensure that there is an object located at the URL and that the role "
                "passed to CreateModel has permissions to download the object."
            ) from None
        except archives.UntrustedError as error:
            raise FleetError(
                f'Failed to extract model data archive for container "container_1" from URL '
                f'"{uri}": {error}. Please ensure that the object located at the URL is a valid '
                "tar.gz archive."
            ) from None
        for path in [layout.model, *layout.model.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)

    def choose(self, target: str | None) -> tuple[Variant, Instance] | None:
        """The variant whose turn it is by weight, or the one asked for, and its least used server.

        The answer is counted as a request until `done`. None: no such variant, or no server of it
        is up.
        """
        with self._turn:
            variant = self._variant(target)
            up = [each for each in variant.instances if each.ready] if variant else []
            if variant is None or not up:
                return None
            instance = min(up, key=lambda each: (each.busy, each.served))
            instance.busy += 1
            instance.served += 1
            self._requests += 1
            return variant, instance

    def _variant(self, target: str | None) -> Variant | None:
        if target is not None:
            return next((each for each in self.variants if each.name == target), None)
        if len(self.variants) == 1:
            return self.variants[0]
        for variant in self.variants:
            variant.credit += variant.weight
        chosen = max(self.variants, key=lambda each: each.credit)
        chosen.credit -= sum(each.weight for each in self.variants)
        return chosen

    def done(self, instance: Instance) -> None:
        """A request that `choose` counted is over."""
        with self._turn:
            instance.busy -= 1
            self._requests -= 1
            self._turn.notify_all()

    def drain(self) -> None:
        """Wait until the last request is answered; no longer than one may take."""
        with self._turn:
            self._turn.wait_for(lambda: self._requests == 0, INVOCATION_TIMEOUT)

    def stop(self) -> None:
        """End every server and remove their files."""
        instances = [one for each in self.variants for one in each.instances]
        if instances:
            with ThreadPoolExecutor(len(instances)) as pool:
                list(pool.map(lambda each: each.stop(), instances))
        remove_tree(self._place)


def log_group(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


_given: set[int] = set()
_given_lock = threading.Lock()


def _free_port() -> int:
    """A port that nobody listens on and that was not given out lately."""
    with _given_lock:
        if len(_given) > len(PORTS) // 2:
            _given.clear()
        for port in random.sample(PORTS, len(PORTS)):
            if port in _given:
                continue
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((ADDRESS, port))
                except OSError:
                    continue
            _given.add(port)
            return port
    raise FleetError("There is no free port for a server.")
