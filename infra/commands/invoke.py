"""Ask the endpoint for a prediction, and show the request, the answer and how to do it elsewhere.

Without --data a row of the project's own data is taken, with the columns that a request brings.
With --data it is a JSON object, a list of them, or a file that holds one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.commands.words import add_project, typed

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.project import Settings

_DIGITS = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of invoke."""
    add_project(parser)
    parser.add_argument(
        "--data", metavar="JSON", help="""'{"column": value, …}', a list of such, or a file"""
    )


def run(args: argparse.Namespace) -> int:
    """Predict once."""
    from infra import project
    from infra.async_client import AsyncClient, address, client_of
    from infra.aws import find
    from infra.client import NoEndpointError
    from infra.examples import Request, boto3_lines, curl_lines
    from infra.units import short_time
    from shared.errors import DeploymentError

    file = project.read(args.project)
    cloud = find(args.target, file.aws)
    if cloud is None:
        raise DeploymentError(
            "the local cloud is not running, so there is no endpoint",
            where=f"endpoint {file.name}",
            cure=f"Deploy it: {typed('deploy', args)}",
        )
    actual = None
    if args.data:
        records = given(args.data)
    else:
        settings = project.load(args.project)
        record, actual = sample(settings)
        records = [record]
    body: Any = records[0] if len(records) == 1 else {"instances": records}
    try:
        client = client_of(cloud, file.name)
        answer = client.predict(records)
    except NoEndpointError:
        raise DeploymentError(
            f"{file.name} is not deployed", cure=f"Deploy it: {typed('deploy', args)}"
        ) from None
    inputs = client.inputs if isinstance(client, AsyncClient) else None
    print(f"POST {address(cloud, file.name, asynchronous=inputs is not None)}")
    if inputs:
        print(f"with this in an object below {inputs}/")
    print(_short(json.dumps(body, indent=1, ensure_ascii=False)))
    others = _variants(cloud, file.name)
    variant = answer.variant if len(others) > 1 else None
    by = f" ({variant})" if variant else ""
    print(f"\nAnswer in {short_time(answer.seconds)} from model {answer.model_version}{by}")
    for prediction in answer.predictions:
        print(_short(json.dumps(_readable(prediction), ensure_ascii=False)))
    positive = _positive(file.name, answer.model_version)
    if positive is not None:
        print(f"score = probability of {json.dumps(positive, ensure_ascii=False)}")
    if actual is not None:
        print(f"The data says {file.data.target} = {actual}")
    profile = None if cloud.account.local else file.aws.profile
    asked = Request(file.name, body, variant, inputs, profile)
    lines = boto3_lines(cloud, asked)
    print(f"\nThe same with boto3, which .venv/bin/python has:\n\n{lines}")
    print(f"\nThe same with curl:\n\n{curl_lines(cloud, asked)}")
    if variant:
        print(
            f"\n{variant} answered and is named there. Without the name each version answers its "
            f"share: {', '.join(others)}."
        )
    return 0


def given(text: str) -> list[dict[str, Any]]:
    """The records that the --data option stands for.

    Raises:
        DataError: it is not JSON, or neither an object nor a list of objects.
    """
    from shared.documents import loads
    from shared.errors import DataError

    where = "--data"
    if text.lstrip()[:1] not in ("{", "["):
        where, path = text, Path(text)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "is neither JSON nor a file that can be read",
                where=where,
                cure="""Write DATA='{"column": value}', quotes included.""",
            ) from error
    document = loads(text, where, DataError)
    if isinstance(document, dict):
        document = document.get("instances", [document])
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise DataError("an object or a list of objects is needed", where=where)
    return document


def sample(settings: Settings) -> tuple[dict[str, Any], Any]:
    """The last row of the data as a request's record, and what its target was.

    Raises:
        DataError: the data cannot be read, or lies in S3.
    """
    from shared import tables, values
    from shared.errors import DataError

    if settings.data.remote:
        raise DataError(
            "no row is taken from data in S3",
            where=settings.data.text,
            cure="""Give one: DATA='{"column": value, …}'""",
        )
    table = tables.read(settings.data.files)
    row = table.slice(table.num_rows - 1)
    columns = settings.problem.columns
    arrays = tables.to_columns(row, columns, settings.data.text)
    record: dict[str, Any] = {}
    for column in columns:
        array = arrays[column.name]
        value = None if values.is_missing(array)[0] else array[0]
        record[column.name] = _plain(column.kind, value)
    return record, row.column(settings.problem.target.name)[0].as_py()


def _plain(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "boolean":
        return bool(value)
    if kind == "datetime":
        return str(value.astype("datetime64[s]") if value.astype(int) % 10**6 == 0 else value)
    if kind == "numeric":
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return str(value)


def _readable(value: Any) -> Any:
    """A prediction with its numbers rounded for people."""
    from infra.units import rounded

    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return rounded(value, _DIGITS) if isinstance(value, float) else value


def _variants(cloud: Cloud, endpoint: str) -> list[str]:
    """The versions that answer, with their shares; a shadow answers nobody."""
    from infra.observe import describe

    found = describe(cloud, "sagemaker", "describe_endpoint", {"EndpointName": endpoint}) or {}
    weights = {
        str(one["VariantName"]): float(one.get("CurrentWeight") or 0)
        for one in found.get("ProductionVariants") or []
    }
    whole = sum(weights.values()) or 1.0
    return [f"{name} {weight / whole:.0%}" for name, weight in weights.items()]


def _positive(project: str, version: str) -> Any:
    """The class whose probability a binary score is.

    None for other tasks, and where the bundle that answered is not on this machine.
    """
    from infra.prepare import build_directory
    from shared import bundle
    from shared.errors import BundleError

    try:
        found = bundle.load(build_directory(project) / "bundle")
    except BundleError:
        return None
    target = found.schema.target
    same = found.manifest.digest.startswith(version)
    return target.classes[1] if same and target.task == "binary" else None


def _short(text: str) -> str:
    from infra.examples import SHOWN

    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
