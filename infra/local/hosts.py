"""One instance of a training job: its own /opt/ml, its program, its log stream.

A job with several instances has as many hosts here, all of them processes of this machine. On
SageMaker a host is reached by its name, algo-1 and so on; here such a name leads nowhere, so each
host is given an address of its own and is told everybody's in ADDRESSES: a JSON object of
``host:port`` by host name. A job with one instance calls its host localhost, a name that resolves.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from infra.local.buckets import Buckets, Location, MissingError
from infra.local.checkpoints import CheckpointSync
from infra.local.images import Image
from infra.local.launch import OPT_ML, Launch, LaunchError, Layout, prepare, write_config
from infra.local.logs import LogStream, pump
from infra.local.metrics import JobMetrics
from infra.local.processes import Process
from infra.local.state import Cloud, log_exception

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
ADDRESSES = "HOST_ADDRESSES"
ALONE = "localhost"
LONGEST_REASON = 1024


class JobError(Exception):
    """Ends a job; the text is its FailureReason."""


def names(count: int) -> list[str]:
    """What the hosts of a job are called."""
    return [ALONE] if count == 1 else [f"algo-{number}" for number in range(1, count + 1)]


def addresses(hosts: Sequence[str]) -> dict[str, str]:
    """A free port of this machine for each host, by host."""
    with ExitStack() as held:  # all at once, so that they differ
        found = {}
        for host in hosts:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found[host] = f"127.0.0.1:{probe.getsockname()[1]}"
        return found


class Host:
    """One instance, from the download of its channels to its end.

    Args:
        cloud: the cloud.
        request: of the job.
        number: from 1.
        hosts: the names of all.
        place: a directory of its own.
        buckets: S3.
    """

    def __init__(
        self,
        cloud: Cloud,
        request: Mapping[str, Any],
        *,
        number: int,
        hosts: Sequence[str],
        place: Path,
        buckets: Buckets,
    ) -> None:
        self._cloud = cloud
        self._request = request
        self._number = number
        self._hosts = hosts
        self._place = place
        self._buckets = buckets
        self._checkpoints: CheckpointSync | None = None
        self._launch: Launch | None = None
        self.layout = Layout(place / "opt" / "ml")

    def download(self, image: Image, told: Mapping[str, str]) -> None:
        """Lay out everything that the program finds when it starts.

        Args:
            image: what it runs in.
            told: where the hosts are, by name; nothing when this is the only one.

        Raises:
            JobError: something the request names is not there.
        """
        self.layout.make()
        share = (self._number - 1, len(self._hosts))
        for channel in self._request.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]
            sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
            place = self.layout.data / channel["ChannelName"]
            try:
                self._buckets.download_prefix(
                    Location.parse(source["S3Uri"]), place, share=share if sharded else None
                )
            except MissingError:
                raise JobError(
                    "ClientError: Data download failed:No S3 objects found under S3 URL "
                    f'"{source["S3Uri"]}" given in input data source. Please ensure that the '
                    "bucket exists in the selected region, that objects exist under that S3 "
                    f'prefix, and that the role "{self._request["RoleArn"]}" may list it.'
                ) from None
        environment = dict(self._cloud.environment)
        if told:
            environment[ADDRESSES] = json.dumps(told)
        try:
            write_config(self.layout, self._request, self._hosts[self._number - 1], self._hosts)
            self._start_checkpoints()
            self._launch = prepare(self._request, image, self.layout, self._buckets, environment)
        except LaunchError as error:
            raise JobError(f"AlgorithmError: {error}") from None

    def _start_checkpoints(self) -> None:
        config = self._request.get("CheckpointConfig")
        if config:
            directory = self.layout.path(config.get("LocalPath", f"{OPT_ML}/checkpoints"))
            sync = CheckpointSync(self._buckets, Location.parse(config["S3Uri"]), directory)
            try:
                sync.start()
            except MissingError as error:
                raise JobError(
                    f"ClientError: Checkpoint download from {config['S3Uri']} failed: {error}"
                ) from None
            self._checkpoints = sync

    def start(self, metrics: JobMetrics) -> None:
        """Start the program; its lines go to a log stream and to `metrics`."""
        assert self._launch is not None
        job = self._request["TrainingJobName"]
        stream = f"{job}/algo-{self._number}-{int(time.time())}"
        self._log = LogStream(self._cloud.client("logs"), LOG_GROUP, stream)
        for remark in self._launch.remarks:
            self._log.write(f"[local cloud] {remark}")
        self.process = Process(
            self._launch.command,
            cwd=self._launch.directory,
            environment=self._launch.environment,
            ledger=self._cloud.ledger,
        )
        self._reader = pump(self.process.output, self._log.write, metrics.read)

    def close(self) -> None:
        """End the program, if it runs still, and ship the rest of its log."""
        self.process.kill()
        self._reader.join(10)
        self._log.close()

    def finish_checkpoints(self) -> None:
        """Bring S3 up to date.

        Raises:
            JobError: S3 does not take them.
        """
        if self._checkpoints:
            try:
                self._checkpoints.finish()
            except Exception as error:
                log_exception()
                raise JobError(f"ClientError: Checkpoint upload failed: {error}") from None

    def lose(self) -> None:
        """The instance is gone: of its checkpoints, what S3 has is all there is."""
        if self._checkpoints:
            self._checkpoints.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def reason(self, code: int) -> str:
        """SageMaker's FailureReason: what the program wrote for it, or else what it printed."""
        assert self._launch is not None
        shown = code if code >= 0 else 128 - code
        failure = self.layout.output / "failure"
        if failure.is_file():
            text = failure.read_text("utf-8", "replace").strip()[:LONGEST_REASON]
        else:
            tail = list(self._log.tail)
            begin = max(
                (n for n, line in enumerate(tail) if line.startswith("Traceback")), default=-3
            )
            message = "\n".join(tail[begin:])[-600:]
            command = " ".join(self._launch.command)[:250]
            text = (
                f'ExecuteUserScriptError:\nExitCode {shown}\nErrorMessage "{message}"\n'
                f'Command "{command}"'
            )
        ending = f", exit code: {shown}"
        return f"AlgorithmError: {text}"[: LONGEST_REASON - len(ending)] + ending
