"""Variants: a model, a weight, and as many instances of its server as asked for.

The number of instances can change while requests come: one that is added takes requests when it is
healthy, one that is removed answers its last one first.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.local import archives, images
from infra.local.buckets import Buckets, Location, MissingError
from infra.local.instances import ADDRESS, FleetError, Instance
from infra.local.launch import Layout
from infra.local.logs import LogStream
from infra.local.models import Model
from infra.local.processes import remove_tree
from infra.local.state import Cloud


class Variant:
    """One production or shadow variant.

    Args:
        cloud: the cloud.
        settings: the variant as CreateEndpointConfig took it.
        model: what it runs.
        place: a directory of its own.
        log_group: where its servers' output goes.
        environment: what its servers find besides the model's own variables.
    """

    def __init__(
        self,
        cloud: Cloud,
        settings: Mapping[str, Any],
        model: Model,
        *,
        place: Path,
        log_group: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._cloud = cloud
        self._place = place
        self._log_group = log_group
        self._extra = dict(environment or {})
        self._scaling = threading.Lock()
        self._image: images.Image | None = None
        self._layout = Layout(place / "opt" / "ml")
        self.name = str(settings["VariantName"])
        self.weight = float(settings["InitialVariantWeight"])
        self.count = int(settings.get("InitialInstanceCount", 0))
        self.settings = settings
        self.model = model
        self.instances: list[Instance] = []
        self.credit = 0.0

    @property
    def image_uri(self) -> str:
        """The image it was asked to run."""
        return str(self.model.container["Image"])

    @property
    def running(self) -> int:
        """How many of its instances are healthy."""
        return sum(each.ready for each in list(self.instances))

    def up(self) -> list[Instance]:
        """The instances that take requests."""
        return [each for each in list(self.instances) if each.up]

    def claim(self, besides: Collection[Instance] = ()) -> Instance | None:
        """Its least busy instance, which has counted a request in; None when none takes any.

        Args:
            besides: instances that are not to be chosen.
        """
        while up := [each for each in self.up() if each not in besides]:
            instance = min(up, key=lambda each: (each.busy, each.served))
            if instance.take():
                return instance
        return None

    def capacity(self) -> dict[str, Any]:
        """What DescribeEndpoint says of how much of it there is."""
        return {"CurrentInstanceCount": self.running, "DesiredInstanceCount": self.count}

    def prepare(self) -> None:
        """Fetch what its servers need; nothing when it has been fetched.

        Raises:
            FleetError: the image or the model's data is not there.
        """
        if self._image is not None:
            return
        image = images.resolve(self._cloud.client("ecr"), self._cloud.images, self.image_uri)
        if image is None:
            raise FleetError(
                f"The image '{self.image_uri}' of production variant {self.name} does not exist. "
                "The local cloud runs images that were pushed to it."
            )
        if image.tree is None or image.command("serve") is None:
            raise FleetError(
                f"The image '{self.image_uri}' of production variant {self.name} has no serve "
                "command."
            )
        self._layout.model.mkdir(parents=True)
        self._fetch(self.model.container, self._layout)
        self._image = image

    def scale(self, count: int) -> None:
        """Run `count` instances; returns when they do, and those too many have ended.

        Raises:
            FleetError: a new one did not become healthy; there are as many as before.
        """
        with self._scaling:
            missing = count - len(self.instances)
            if missing > 0:
                self._grow(missing)
            elif missing < 0:
                self._shrink(self.instances[missing:])

    def _grow(self, number: int) -> None:
        self.prepare()
        fresh = [self._instance() for _ in range(number)]
        self.instances.extend(fresh)
        patience = float(
            self.settings.get("ContainerStartupHealthCheckTimeoutInSeconds")
            or self._cloud.settings.startup_timeout
        )
        try:
            with ThreadPoolExecutor(number) as pool:
                faults = list(pool.map(lambda each: each.start(patience), fresh))
            fault = next(filter(None, faults), None)
            if fault:
                raise FleetError(
                    f"The primary container for production variant {self.name} did not pass the "
                    f"ping health check. Please check CloudWatch logs for this endpoint. {fault}"
                )
        except BaseException:
            self._shrink(fresh)
            raise

    def _shrink(self, instances: Sequence[Instance]) -> None:
        leaving = list(instances)
        if not leaving:
            return
        with ThreadPoolExecutor(len(leaving)) as pool:
            list(pool.map(_end, leaving))
        self.instances = [each for each in self.instances if each not in leaving]

    def _instance(self) -> Instance:
        assert self._image is not None
        environment = {
            **self._cloud.environment,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(self._image.tree),
            **{
                name: self._layout.relocate(value)
                for name, value in self.model.container.get("Environment", {}).items()
            },
            **self._extra,
            "SAGEMAKER_BASE_DIR": str(self._layout.base),
            "SM_MODEL_DIR": str(self._layout.model),
            "SERVER_ADDRESS": ADDRESS,
        }
        stream = f"{self.name}/i-{uuid.uuid4().hex[:17]}"
        log = LogStream(self._cloud.client("logs"), self._log_group, stream)
        return Instance(self._cloud, self._image, self._layout, log, environment)

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

    def stop(self) -> None:
        """End every server, the last answers given, and remove their files."""
        self.scale(0)
        remove_tree(self._place)


def _end(instance: Instance) -> None:
    instance.leave()
    instance.stop()
