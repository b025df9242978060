"""How to ask an endpoint from elsewhere: the same request for boto3 and for curl, to be copied.

An asynchronous endpoint takes no rows, only the place in S3 where they lie, and answers into S3. Of
several production variants the request names one; a shadow cannot be named. Bounded waits, as a
program that was copied should have them. Not here: asking it ourselves (client.py).
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.async_client import PATIENCE, address

if TYPE_CHECKING:
    from infra.aws import Cloud

SHOWN = 2000
_PAUSE = 2


@dataclass(frozen=True)
class Request:
    """What was asked.

    Attributes:
        body: as JSON.
        variant: that answered, where several do; None: there is one.
        inputs: of an asynchronous endpoint: s3:// location below which requests lie; else None.
        profile: of ~/.aws/config, whose credentials ask; None: those that are found without one.
    """

    endpoint: str
    body: Any
    variant: str | None = None
    inputs: str | None = None
    profile: str | None = None


def boto3_lines(cloud: Cloud, asked: Request) -> str:
    """A Python program that asks the same."""
    where, body = _options(cloud), _whole(repr(asked.body))
    if asked.inputs:
        return _boto3_async(where, asked, body, asked.inputs)
    target = f' TargetVariant="{asked.variant}",' if asked.variant else ""
    return (
        "import boto3, json\n"
        f'runtime = {_made_by(asked)}.client("sagemaker-runtime", {where})\n'
        f'answer = runtime.invoke_endpoint(EndpointName="{asked.endpoint}",{target}\n'
        f'    ContentType="application/json", Body=json.dumps({body}))\n'
        'print(answer["Body"].read().decode())'
    )


def curl_lines(cloud: Cloud, asked: Request) -> str:
    """A shell command, or several, that ask the same."""
    data = _whole(json.dumps(asked.body, ensure_ascii=False).replace("'", "'\\''"))
    keys = ""
    if asked.profile:
        told = f"aws configure export-credentials --profile {shlex.quote(asked.profile)}"
        keys = f'eval "$({told} --format env)"\n'
    if asked.inputs:
        return keys + _curl_async(cloud, asked.endpoint, data, asked.inputs)
    target = f"  -H 'X-Amzn-SageMaker-Target-Variant: {asked.variant}' \\\n"
    return (
        f"{keys}{_signed(cloud, 'sagemaker')} \\\n"
        f"{target if asked.variant else ''}"
        f"  -H 'Content-Type: application/json' {cloud.address(asked.endpoint)} \\\n"
        f"  -d '{data}'; echo"
    )


def _made_by(asked: Request) -> str:
    """What makes boto3's clients."""
    return f"boto3.Session(profile_name={asked.profile!r})" if asked.profile else "boto3"


def _boto3_async(where: str, asked: Request, body: str, inputs: str) -> str:
    made_by = _made_by(asked)
    bucket, _, folder = inputs.removeprefix("s3://").partition("/")
    return f"""\
import boto3, json, time, uuid
options = dict({where})
s3 = {made_by}.client("s3", **options)
runtime = {made_by}.client("sagemaker-runtime", **options)
rows = {{"Bucket": "{bucket}", "Key": f"{folder}/{{uuid.uuid4().hex}}.json"}}
s3.put_object(**rows, Body=json.dumps({body}))
told = runtime.invoke_endpoint_async(EndpointName="{asked.endpoint}",
    ContentType="application/json", InputLocation="s3://{{Bucket}}/{{Key}}".format(**rows))

def answer():
    for _ in range({round(PATIENCE / _PAUSE)}):  # it lies at one of two places, once it is there
        for place in (told["OutputLocation"], told["FailureLocation"]):
            bucket, _, key = place.removeprefix("s3://").partition("/")
            try:
                return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
            except s3.exceptions.ClientError as error:
                # S3 says the second to whom may not list the bucket
                if error.response["Error"]["Code"] not in ("NoSuchKey", "AccessDenied"):
                    raise
        time.sleep({_PAUSE})
    return "no answer yet; it may still come, to " + told["OutputLocation"]

print(answer())"""


def _curl_async(cloud: Cloud, endpoint: str, data: str, inputs: str) -> str:
    s3 = cloud.client("s3").meta.endpoint_url.rstrip("/")
    place = inputs.removeprefix("s3://")
    return f"""\
s3() {{ {_signed(cloud, "s3")} "$@"; }}
rows={place}/$(date +%s)-$$.json
s3 -X PUT -H 'Content-Type: application/json' {s3}/$rows \\
  -d '{data}'
told=$({_signed(cloud, "sagemaker")} \\
  -i -d '' -H 'Content-Type: application/json' \\
  -H "X-Amzn-SageMaker-InputLocation: s3://$rows" \\
  {address(cloud, endpoint, asynchronous=True)} | tr -d '\\r')
at() {{ printf '%s\\n' "$told" | grep -i "sagemaker-$1Location:" | sed 's|.*s3://|{s3}/|'; }}
printf '%s\n\n' "$told"; [ "$(at Output)" ] && for try in $(seq {round(PATIENCE / _PAUSE)}); do
  s3 -f "$(at Output)" && break; s3 -f "$(at Failure)" && break; sleep {_PAUSE}
done; echo"""


def _options(cloud: Cloud) -> str:
    """Keyword arguments of boto3.client that reach this cloud."""
    from infra.aws import LocalSession

    region = f'region_name="{cloud.account.region}"'
    if not isinstance(cloud, LocalSession):
        return region
    url, key = cloud.cloud.url, cloud.cloud.access_key
    return (
        f'{region}, endpoint_url="{url}",\n'
        f'    aws_access_key_id="{key}", aws_secret_access_key="local"'
    )


def _signed(cloud: Cloud, service: str) -> str:
    """The beginning of a curl command that signs for a service."""
    from infra.aws import LocalSession

    signed = f'curl -s --aws-sigv4 "aws:amz:{cloud.account.region}:{service}" --user'
    if isinstance(cloud, LocalSession):
        return f"{signed} {cloud.cloud.access_key}:local"
    # curl leaves out a header of no content, which is what permanent keys need.
    temporary = '-H "X-Amz-Security-Token: $AWS_SESSION_TOKEN"'
    return f'{signed} "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" {temporary}'


def _whole(text: str) -> str:
    """A request to copy: whole or not at all."""
    return text if len(text) <= SHOWN else "<the request above>"
