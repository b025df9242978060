"""A batch transform job's life, on a thread of its own.

The servers are those of an endpoint (`variants`), started for the job and ended with it. Each takes
one file at a time and as many requests of it at once as ``MaxConcurrentTransforms`` allows. A file
that fails leaves no output; the others are still processed, and the job ends as Failed.

What goes wrong is told in the job's log (``<job>/<instance>/data-log``), which its FailureReason
refers to. Which failures are retried is not documented: here those that are not the request's
fault. What a server answers to ``/execution-parameters`` counts where the request says nothing.
"""

from __future__ import annotations

import gzip
import queue
import tempfile
import threading
import uuid
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.local import records
from infra.local.buckets import Buckets, Location, MissingError
from infra.local.hosts import JobError
from infra.local.instances import FleetError, Instance, UnreachableError
from infra.local.logs import LogStream
from infra.local.processes import remove_tree
from infra.local.records import Plan, RecordError, Request
from infra.local.state import Cloud, log_exception, now
from infra.local.transform_checks import DEFAULT_MEGABYTES
from infra.local.transform_servers import (
    LOG_GROUP,
    POLL,
    SEE_LOGS,
    STRATEGIES,
    AnswerError,
    execution_parameters,
    servers,
    wait_until_up,
)
from infra.local.transform_state import TransformJob
from infra.local.variants import Variant

DEFAULT_TIMEOUT = 600
DEFAULT_RETRIES = 3
CHUNK = 1 << 16


class StoppedError(Exception):
    """Somebody asked the job to stop."""


class TransformRun:
    """One job's life."""

    def __init__(self, cloud: Cloud, job: TransformJob, plan: Plan) -> None:
        self._cloud = cloud
        self._job = job
        self._plan = plan
        self._request = job.request
        self._source: Mapping[str, Any] = job.request["TransformInput"]
        client = self._request.get("ModelClientConfig", {})
        self._timeout = float(client.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT))
        self._retries = int(client.get("InvocationsMaxRetries", DEFAULT_RETRIES))
        self._concurrent = int(self._request.get("MaxConcurrentTransforms", 0))
        self._place = cloud.work / "transform-files" / job.name
        self._reasons: list[str] = []

    def run(self) -> None:
        """From InProgress to an end, whatever happens."""
        variant = servers(self._cloud, self._job)
        over = threading.Event()
        ending = threading.Thread(target=self._end_when_told, args=(variant, over), daemon=True)
        ending.start()
        reason: str | None = None
        try:
            self._buckets = Buckets(self._cloud.client("s3"))
            self._place.mkdir(parents=True)
            objects = self._objects()
            variant.prepare()
            variant.scale(variant.count)
            instances = list(variant.instances)
            if not instances:
                raise StoppedError
            with self._cloud.lock:
                self._job.started = now()
            stream = f"{self._job.name}/i-{uuid.uuid4().hex[:17]}/data-log"
            self._log = LogStream(self._cloud.client("logs"), LOG_GROUP, stream)
            try:
                self._agree(instances[0])
                self._transform(instances, objects)
            finally:
                self._log.close()
            reason = next(iter(self._reasons), None)
        except StoppedError:
            reason = None
        except JobError as error:
            reason = str(error)
        except FleetError as error:
            reason = f"AlgorithmError: {error}"
        except OSError as error:
            log_exception()
            reason = f"ClientError: {error.strerror} ({self._place})"
        except Exception as error:
            log_exception()
            reason = f"InternalServerError: {error}"
        finally:
            over.set()
            ending.join()
            remove_tree(self._place)
        with self._cloud.lock:
            if self._job.status == "Stopping":
                self._job.end("Stopped")
            else:
                self._job.end("Failed" if reason else "Completed", reason)

    def _end_when_told(self, variant: Variant, over: threading.Event) -> None:
        """End the servers, once: when the job is stopped, or else when it is over."""
        while not over.wait(POLL) and not self._job.stop.is_set():
            pass
        variant.stop()

    def _objects(self) -> list[tuple[Location, str]]:
        """Where the input is, and the name of each object's output.

        Raises:
            JobError: there is none.
        """
        place = self._source["DataSource"]["S3DataSource"]
        uri = Location.parse(place["S3Uri"])
        found: list[tuple[Location, str]] = []
        try:
            if place["S3DataType"] == "ManifestFile":
                copy = self._place / "manifest"
                self._buckets.download(uri, copy)
                for prefix, rest in records.manifest(copy.read_bytes()):
                    found.append((Location.parse(prefix + rest), rest.lstrip("/")))
            else:
                keys = self._buckets.list(uri)
                found = [
                    (Location(uri.bucket, key), records.relative(key, uri.key)) for key in keys
                ]
        except (MissingError, RecordError) as error:
            raise JobError(f"ClientError: {error}") from None
        if not found:
            raise JobError(
                f'ClientError: No S3 objects found under S3 URL "{uri}" given in input data '
                "source. Please ensure that the bucket exists in the selected region, that "
                "objects exist under that S3 prefix, and that the role has access to them."
            )
        return found

    def _agree(self, instance: Instance) -> None:
        """Settle what the request leaves open by what the server wants, else by the defaults."""
        wanted = execution_parameters(instance)
        megabytes = self._request.get(
            "MaxPayloadInMB", wanted.get("MaxPayloadInMB", DEFAULT_MEGABYTES)
        )
        strategy = STRATEGIES.get(
            self._request.get("BatchStrategy", ""), wanted.get("BatchStrategy", "MULTI_RECORD")
        )
        self._concurrent = self._concurrent or wanted.get("MaxConcurrentTransforms", 1)
        self._plan = replace(
            self._plan,
            single=strategy == "SINGLE_RECORD",
            most=megabytes * records.MEGABYTE or None,
        )
        self._write(
            f"MaxConcurrentTransforms={self._concurrent}, MaxPayloadInMB={megabytes}, "
            f"BatchStrategy={strategy}"
        )

    def _transform(self, instances: list[Instance], objects: list[tuple[Location, str]]) -> None:
        waiting: queue.SimpleQueue[tuple[Location, str]] = queue.SimpleQueue()
        for each in objects:
            waiting.put(each)
        with ThreadPoolExecutor(len(instances)) as pool:
            list(pool.map(lambda one: self._work(one, waiting), instances))

    def _work(self, instance: Instance, waiting: queue.SimpleQueue[tuple[Location, str]]) -> None:
        """One instance's share: file after file, until none is left."""
        pool = ThreadPoolExecutor(self._concurrent)
        try:
            while not self._job.stop.is_set():
                source, name = waiting.get_nowait()
                try:
                    self._file(instance, pool, source, name)
                except AnswerError as error:
                    self._fail(source, error.lines(), error.reason)
                except RecordError as error:
                    self._fail(source, [str(error)], f"ClientError: {SEE_LOGS}")
                except (OSError, EOFError, zlib.error, MissingError) as error:
                    self._fail(source, [f"ClientError: {error}"], f"ClientError: {SEE_LOGS}")
        except (queue.Empty, StoppedError):
            return
        finally:  # who stops a job does not wait for its last answers
            pool.shutdown(wait=not self._job.stop.is_set(), cancel_futures=True)

    def _fail(self, source: Location, lines: list[str], reason: str) -> None:
        if self._job.stop.is_set():
            return
        for line in lines:
            self._write(f"{source.bucket}/{source.key}: {line}")
        self._reasons.append(reason)

    def _file(
        self, instance: Instance, pool: ThreadPoolExecutor, source: Location, name: str
    ) -> None:
        """Process one object; nothing is stored unless all of it was."""
        with tempfile.TemporaryDirectory(dir=self._place) as directory:
            copy, result = Path(directory) / "in", Path(directory) / "out"
            self._buckets.download(source, copy)
            under_way: deque[tuple[Request, Future[bytes]]] = deque()
            with self._opened(copy) as lines, result.open("wb") as out:

                def settle() -> None:
                    request, future = under_way.popleft()
                    while not wait([future], POLL).done:
                        if self._job.stop.is_set():
                            raise StoppedError
                    out.write(self._plan.answer(request, future.result()))

                try:
                    for request in self._plan.requests(lines):
                        if len(under_way) == self._concurrent:
                            settle()
                        future = pool.submit(self._ask, instance, request.body)
                        under_way.append((request, future))
                    while under_way:
                        settle()
                finally:
                    for _, future in under_way:
                        future.cancel()
            if self._job.stop.is_set():
                raise StoppedError
            output = self._request["TransformOutput"]
            target = Location.parse(output["S3OutputPath"]) / f"{name}.out"
            self._buckets.upload(result, target, key=output.get("KmsKeyId"))

    @contextmanager
    def _opened(self, copy: Path) -> Iterator[Iterable[bytes]]:
        if self._source.get("CompressionType", "None") == "Gzip":
            with gzip.open(copy) as content:
                yield content
        else:
            with copy.open("rb") as content:
                yield content

    def _ask(self, instance: Instance, body: bytes) -> bytes:
        """One request, repeated where the server may do better the next time."""
        headers = {
            name: value
            for name, value in (
                ("Content-Type", self._source.get("ContentType")),
                ("Accept", self._request["TransformOutput"].get("Accept")),
            )
            if value
        }
        sent: Any = body
        if self._plan.most is None:  # a body that is no bytes goes out in chunks
            sent = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
        problem = AnswerError(None)
        for _ in range(self._retries + 1):
            if self._job.stop.is_set():
                raise StoppedError
            wait_until_up(instance, self._job.stop)
            try:
                status, _, content = instance.call(
                    "/invocations", headers, sent, timeout=self._timeout
                )
            except (TimeoutError, UnreachableError):
                problem = AnswerError(None)
                continue
            if 200 <= status < 300:
                return content
            problem = AnswerError(status, content)
            if status < 500:
                break
        raise problem

    def _write(self, text: str) -> None:
        moment = now().replace(tzinfo=None).isoformat(timespec="milliseconds")
        self._log.write(f"{moment}:[sagemaker logs]: {text}")
