"""The sections of project.toml as pydantic models: which keys there are, and what they may be.

A field's description is what a message says is allowed. What a later version will offer is refused
here with what works now. Checks that look at more than one key, or at data, are in project.py.
"""

from __future__ import annotations

import re
import typing
from typing import Annotated, Any, Literal, get_args
from unicodedata import category
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
)
from pydantic_core import PydanticCustomError

from infra.modes import SERVERLESS_CONCURRENCY, SERVERLESS_MEMORY
from infra.rollout import LIMITS, LONGEST_WAIT, MOST_ALARMS, Kind, Thresholds
from infra.units import seconds, share
from shared import documents
from shared.problem import MOST_TRIALS, Container, ThresholdRule
from shared.retraining import Retraining
from shared.schema import Task

NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
# What an account may have in one training job before it asks for more.
MOST_INSTANCES = 20
MOST_SERVING = 100
# AWS takes 50 tags a resource; the kit adds the project's name.
MOST_TAGS = 49


def _only(now: object, *later: object) -> AfterValidator:
    """A setting of which one value works now."""

    def check(value: object) -> object:
        if value == now:
            return value
        shown = documents.show(value)
        known = value in later or not later
        raise PydanticCustomError(
            "not_available",
            "{value} is {what}; leave the key out or write {now}",
            {
                "value": shown,
                "what": "not available yet" if known else "not known",
                "now": '"' + now + '"' if isinstance(now, str) else str(now).lower(),
            },
        )

    return AfterValidator(check)


def _tags(table: dict[str, str]) -> dict[str, str]:
    """What every service takes as tags; CodeBuild, one sign less than others."""
    plain = all(
        sign in "_.:/=+-@" or category(sign)[0] in "LNZ"
        for text in (*table, *table.values())
        for sign in text
    )
    keys = all(1 <= len(key) <= 127 and not key.lower().startswith("aws:") for key in table)
    if plain and keys and len(table) <= MOST_TAGS and all(len(t) <= 255 for t in table.values()):
        return table
    raise ValueError


def _threshold(value: Any) -> float | ThresholdRule:
    # Not a union of types: pydantic would tell a mistake once for each of them.
    if value in get_args(ThresholdRule):
        return typing.cast(ThresholdRule, value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError


Threshold = Annotated[float | ThresholdRule, PlainValidator(_threshold)]


def _auto_or_count(value: object) -> object:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError


Duration = Annotated[float, BeforeValidator(seconds)]
Share = Annotated[float, BeforeValidator(share)]
Parallel = Annotated[Literal["auto"] | int, PlainValidator(_auto_or_count)]
Table = dict[str, Any]

_WAIT = 'a duration such as "10m", 1h at most'
_DURATION = 'a duration such as "45s", "10m" or "1h30m"'
_INSTANCE = 'an instance type such as "ml.m5.xlarge"'


class Section(BaseModel):
    """A table of the file: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataSection(Section):
    """[data]: the table to learn from."""

    source: str = Field(
        min_length=1, description="a path, a glob or an s3:// location of CSV or Parquet files"
    )
    target: str = Field(min_length=1, description="the name of the column to predict")
    task: Task | None = Field(default=None, description='"binary", "multiclass" or "regression"')
    time: str | None = Field(default=None, description="the name of a datetime column")
    split: Table | None = Field(default=None, description='a table such as { by = "random" }')
    columns: dict[str, Table] | None = Field(
        default=None, description='tables such as distance = { kind = "numeric" }'
    )


class SourceSection(Section):
    """[sources.<name>]: a table to be looked up, in training and in serving."""

    table: str = Field(
        min_length=1, description="a path, a glob or an s3:// location of CSV or Parquet files"
    )
    keys: dict[str, str] = Field(default={}, description="our column = its column")
    as_of: dict[str, str] | None = Field(
        default=None, description="one pair: our datetime column = its datetime column"
    )
    tolerance: Duration | None = Field(default=None, description=_DURATION)
    columns: dict[str, Table] = Field(description='tables such as temp = { kind = "numeric" }')
    online: Annotated[str, _only("bundle")] = "bundle"


class FeaturesSection(Section):
    """[features]: what features.py, beside the file, makes of the columns."""

    columns: dict[str, Table] = Field(description='tables such as ratio = { kind = "numeric" }')


class TrainingSection(Section):
    """[training]: hyperparameters and where the job runs."""

    hyperparameters: Table = Field(default={}, description="a table of hyperparameters")
    threshold: Threshold = Field(
        default=0.5, description='a probability such as 0.5, or "f1" or "balanced_accuracy"'
    )
    instance: str = Field(
        default="ml.m5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$", description=_INSTANCE
    )
    instance_count: int = Field(
        default=1, ge=1, le=MOST_INSTANCES, description=f"a whole number from 1 to {MOST_INSTANCES}"
    )
    spot: bool = False
    max_runtime: Duration = Field(default=3600.0, ge=60, le=432_000, description=_DURATION)


class TuningSection(Section):
    """[tuning]: how hyperparameters are searched."""

    strategy: Literal["manual", "grid", "random", "bayesian", "hyperband"] = Field(
        default="bayesian",
        description='"manual", "grid", "random", "bayesian" or "hyperband"',
    )
    trials: int | None = Field(
        default=None, ge=0, le=MOST_TRIALS, description=f"a whole number from 0 to {MOST_TRIALS}"
    )
    folds: int = Field(default=1, ge=1, description="a whole number, 1 or more")
    where: Literal["job", "service"] = Field(default="job", description='"job" or "service"')
    seed: int = Field(default=0, ge=0, description="a whole number, 0 or more")
    parallel: Parallel = Field(default="auto", description='"auto" or a whole number, 1 or more')
    candidates: list[Table] = Field(
        default=[], description="a list of tables such as [{ dropout = 0.2 }, { dropout = 0.4 }]"
    )
    warm_start: list[str] = Field(default=[], description="a list of names of tuning jobs")
    space: Table = Field(default={}, description="a table of ranges and lists")


class RetrainingSection(Section):
    """[retraining]: how the deployed model goes on with new rows, and when it is replaced."""

    epochs: int = Field(
        default=Retraining.epochs, ge=1, le=10_000, description="a whole number from 1 to 10000"
    )
    learning_rate_factor: float = Field(
        default=Retraining.learning_rate_factor,
        gt=0,
        le=10,
        description="a number above 0, 10 at most",
    )
    old_share: Share = Field(
        default=Retraining.old_share, lt=1, description='a share such as 0.5 or "50%", below 1'
    )
    margin: Share = Field(
        default=Retraining.margin, lt=1, description='a share such as 0.001 or "0.1%", below 1'
    )
    confidence: Share = Field(
        default=Retraining.confidence, ge=0.5, lt=1, description="0.5 or more and less than 1"
    )


def _period(value: float) -> float:
    # What CloudWatch can measure over: 10 and 30 seconds, and whole minutes.
    if value in (10, 30) or (value % 60 == 0 and 60 <= value <= 3600):
        return value
    raise ValueError


class ThresholdsSection(Section):
    """[endpoint].rollout.thresholds: when the new version counts as broken."""

    errors: Share = Field(
        default=Thresholds.errors, lt=1, description='a share such as 0.01 or "1%", below 1'
    )
    latency: Duration = Field(
        default=Thresholds.latency,
        gt=0,
        le=60,
        description='a duration such as "500ms", 1m at most',
    )
    unusual: float = Field(
        default=Thresholds.unusual, gt=0, description="a number of values a row, above 0"
    )
    period: Annotated[Duration, AfterValidator(_period)] = Field(
        default=float(Thresholds.period), description='"10s", "30s" or whole minutes such as "1m"'
    )


def _alarms(value: Any) -> Any:
    named = isinstance(value, list) and 0 < len(value) <= MOST_ALARMS
    if value in ("default", "none") or (
        named and all(isinstance(name, str) and 0 < len(name) <= 255 for name in value)
    ):
        return value
    raise ValueError


Alarms = Annotated[Literal["default", "none"] | list[str], PlainValidator(_alarms)]


class RolloutSection(Section):
    """[endpoint].rollout: how traffic moves to a new version."""

    kind: Kind = Field(
        default="canary", description='"all-at-once", "canary", "linear" or "rolling"'
    )
    percent: int | None = Field(
        default=None, ge=1, le=50, description="a whole number from 1 to 50"
    )
    bake: Duration | None = Field(default=None, le=LONGEST_WAIT, description=_WAIT)
    wait: Duration | None = Field(default=None, le=LONGEST_WAIT, description=_WAIT)
    keep_old: Duration | None = Field(default=None, le=LONGEST_WAIT, description=_WAIT)
    limit: Duration = Field(
        default=3600.0,
        ge=LIMITS[0],
        le=LIMITS[1],
        description='a duration such as "1h", from 10m to 8h',
    )
    alarms: Alarms = Field(
        default="default",
        description=f'"default", "none" or a list of 1 to {MOST_ALARMS} names of alarms',
    )
    thresholds: ThresholdsSection = Field(
        default_factory=ThresholdsSection,
        description='a table such as { errors = "1%", latency = "500ms" }',
    )


class BesideSection(Section):
    """[endpoint].shadow and ab: the new version beside the old one."""

    share: Share = Field(gt=0, description='a share such as 0.1 or "10%", above 0')


def _megabytes(value: Any) -> int:
    found = re.fullmatch(r"(\d+)\s*(MB|GB)", value) if isinstance(value, str) else None
    size = int(found[1]) * (1024 if found[2] == "GB" else 1) if found else 0
    if size in SERVERLESS_MEMORY:
        return size
    raise ValueError


class ServerlessSection(Section):
    """[endpoint].serverless: what one request gets, and how many run at once."""

    memory: Annotated[int, BeforeValidator(_megabytes)] = Field(
        default=2048, description='"1024MB", "2048MB", "3072MB", "4096MB", "5120MB" or "6144MB"'
    )
    concurrency: int = Field(
        default=5,
        ge=1,
        le=SERVERLESS_CONCURRENCY,
        description=f"a whole number from 1 to {SERVERLESS_CONCURRENCY}",
    )


_TOPIC = Annotated[str, Field(pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[\w-]+$")]


class AsyncSection(Section):
    """[endpoint].async: requests of one instance at once, and who hears of answers."""

    concurrency: int | None = Field(
        default=None, ge=1, le=1000, description="a whole number from 1 to 1000"
    )
    notify_success: _TOPIC | None = Field(default=None, description="the ARN of an SNS topic")
    notify_error: _TOPIC | None = Field(default=None, description="the ARN of an SNS topic")


def _zone(name: str) -> str:
    """A time zone that is known: any other is refused when the endpoint is there already."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(name) from None
    return name


_COUNT = "a whole number, 0 or more"
_COOLDOWN = 'a duration such as "5m", 1h at most'


class ScheduleSection(Section):
    """One entry of [endpoint].scaling.schedule: other bounds from a moment on."""

    at: str = Field(
        pattern=r"^(cron|rate|at)\(.+\)$",
        description='a schedule such as "cron(0 7 ? * MON-FRI *)"',
    )
    min: int = Field(ge=0, description=_COUNT)
    max: int = Field(ge=1, description="a whole number, 1 or more")
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC",
        pattern=r"^[A-Za-z_+-]+(/[A-Za-z0-9_+-]+)*$",
        description='an IANA time zone such as "Europe/Berlin"',
    )


class ScalingSection(Section):
    """[endpoint].scaling: how many instances there are."""

    min: int = Field(default=1, ge=0, description=_COUNT)
    max: int = Field(ge=1, description="a whole number, 1 or more")
    invocations_per_instance: float | None = Field(
        default=None, gt=0, strict=False, description="requests a minute, above 0"
    )
    backlog_per_instance: float | None = Field(
        default=None, gt=0, strict=False, description="requests that wait, above 0"
    )
    scale_in: Duration = Field(default=300.0, ge=0, le=3600, description=_COOLDOWN)
    scale_out: Duration = Field(default=60.0, ge=0, le=3600, description=_COOLDOWN)
    schedule: list[ScheduleSection] = Field(
        default=[],
        description='a list such as [{ at = "cron(0 7 ? * MON-FRI *)", min = 2, max = 6 }]',
    )


class EndpointSection(Section):
    """[endpoint]: what serves."""

    container: Container = Field(
        default="own", description='"own", "tensorflow-serving" or "toolkit"'
    )
    mode: Literal["realtime", "serverless", "async"] = Field(
        default="realtime", description='"realtime", "serverless" or "async"'
    )
    instance: str = Field(
        default="ml.m5.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$", description=_INSTANCE
    )
    instances: int = Field(
        default=1, ge=1, le=MOST_SERVING, description=f"a whole number from 1 to {MOST_SERVING}"
    )
    scaling: ScalingSection | None = Field(
        default=None,
        description="a table such as { min = 1, max = 4, invocations_per_instance = 2000 }",
    )
    serverless: ServerlessSection | None = Field(
        default=None, description='a table such as { memory = "2048MB", concurrency = 5 }'
    )
    async_: AsyncSection | None = Field(
        default=None, alias="async", description="a table such as { concurrency = 4 }"
    )
    rollout: RolloutSection | None = Field(
        default=None,
        description='a table such as { kind = "canary", percent = 10, bake = "10m" }',
    )
    shadow: BesideSection | None = Field(
        default=None, description='a table such as { share = "20%" }'
    )
    ab: BesideSection | None = Field(default=None, description='a table such as { share = "10%" }')
    capture: Annotated[float, _only(0.0)] = 0.0


class DeploySection(Section):
    """[deploy]: how a deployment is allowed."""

    require_approval: bool = Field(default=False, description="true or false")


class Aws(Section):
    """[aws]: the account's own."""

    region: str | None = Field(
        default=None,
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description='a region such as "eu-central-1"',
    )
    profile: str | None = Field(
        default=None, min_length=1, description="a profile of ~/.aws/config"
    )
    role: str | None = Field(
        default=None,
        pattern=r"^arn:[a-z-]+:iam::\d{12}:role/.+$",
        description='the ARN of a role: "arn:aws:iam::<account>:role/<name>"',
    )
    bucket: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="the name of a bucket, without s3://",
    )
    kms_key: str | None = Field(
        default=None,
        pattern=r"^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[a-z0-9-]+$",
        description='the ARN of a key: "arn:aws:kms:<region>:<account>:key/<id>"',
    )
    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-z]{8,17}$")]] = Field(
        default=[], max_length=16, description='a list such as ["subnet-0123456789abcdef0"]'
    )
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-z]{8,17}$")]] = Field(
        default=[], max_length=5, description='a list such as ["sg-0123456789abcdef0"]'
    )
    network_isolation: bool = Field(default=False, description="true or false")
    tags: Annotated[dict[str, str], AfterValidator(_tags)] = Field(
        default={},
        description=f"a table of at most {MOST_TAGS} texts: letters, digits and _.:/=+-@; keys of "
        "1 to 127 signs that do not begin with aws:, values of 255 at most",
    )


class ProjectFile(Section):
    """The whole file."""

    name: str = Field(
        pattern=f"^{NAME}$",
        max_length=32,
        description="lower-case letters, digits and single hyphens, 32 at most",
    )
    data: DataSection = Field(
        description='a table [data]; below it: source = "rows.csv" and target = "price"'
    )
    sources: dict[str, SourceSection] = Field(
        default={}, description='tables [sources.<name>]; below each: table = "rows.csv" and more'
    )
    features: FeaturesSection | None = Field(
        default=None, description='a table { columns = { ratio = { kind = "numeric" } } }'
    )
    training: TrainingSection = Field(
        default_factory=TrainingSection,
        description='a table [training]; below it, say: instance = "ml.m5.xlarge"',
    )
    tuning: TuningSection | None = Field(
        default=None, description="a table [tuning]; below it, say: trials = 12"
    )
    retraining: RetrainingSection = Field(
        default_factory=RetrainingSection,
        description="a table [retraining]; below it, say: epochs = 3",
    )
    endpoint: EndpointSection = Field(
        default_factory=EndpointSection,
        description='a table [endpoint]; below it, say: mode = "serverless"',
    )
    deploy: DeploySection = Field(
        default_factory=DeploySection,
        description="a table [deploy]; below it, say: require_approval = true",
    )
    aws: Aws = Field(
        default_factory=Aws, description='a table [aws]; below it, say: region = "eu-central-1"'
    )
