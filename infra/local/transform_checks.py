"""What CreateTransformJob refuses beyond the service's model, and what is not offered here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local import json_paths, records
from infra.local.wire import invalid, not_offered

MOST_INSTANCES = 10
MOST_MEGABYTES = 100
DEFAULT_MEGABYTES = 6
NOT_OFFERED = ("DataCaptureConfig", "ExperimentConfig")


def check(request: Mapping[str, Any]) -> records.Plan:
    """What AWS checks beyond the model of the service, and what is not offered here.

    Returns:
        How records are processed, with the request's own bounds or the defaults; what the server
        says for itself is not known yet.

    Raises:
        RefusalError: AWS would refuse it, or it is not offered.
    """
    for name in NOT_OFFERED:
        if request.get(name):
            raise not_offered(f"{name} of a transform job")
    source, target = request["TransformInput"], request["TransformOutput"]
    resources = request["TransformResources"]
    if "TransformAmiVersion" in resources:
        raise not_offered("TransformAmiVersion")
    if resources["InstanceCount"] > MOST_INSTANCES:
        raise not_offered(f"more than {MOST_INSTANCES} instances for a transform job")
    place = source["DataSource"]["S3DataSource"]
    if place["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise invalid(f"S3DataType {place['S3DataType']} is not compatible with batch transform.")
    for uri in (place["S3Uri"], target["S3OutputPath"]):
        if not uri.startswith("s3://"):
            raise not_offered(f"addresses other than s3:// ({uri})")
    split = source.get("SplitType", "None")
    if split not in ("None", "Line"):
        raise not_offered(f"SplitType {split}")
    _check_bounds(request)
    return _plan(request, by_line=split == "Line")


def _check_bounds(request: Mapping[str, Any]) -> None:
    megabytes = request.get("MaxPayloadInMB", DEFAULT_MEGABYTES)
    if megabytes > MOST_MEGABYTES:
        raise invalid(f"MaxPayloadInMB cannot be greater than {MOST_MEGABYTES} MB.")
    if megabytes * request.get("MaxConcurrentTransforms", 0) > MOST_MEGABYTES:
        raise invalid(
            "The value of (MaxConcurrentTransforms * MaxPayloadInMB) must not exceed "
            f"{MOST_MEGABYTES} MB."
        )


def _plan(request: Mapping[str, Any], *, by_line: bool) -> records.Plan:
    source, target = request["TransformInput"], request["TransformOutput"]
    processing = request.get("DataProcessing", {})
    try:
        select, keep = (
            json_paths.parse(processing.get(name, "$")) for name in ("InputFilter", "OutputFilter")
        )
    except json_paths.PathError as error:
        raise invalid(str(error)) from None
    plan = records.Plan(
        by_line=by_line,
        single=request.get("BatchStrategy") == "SingleRecord",
        most=request.get("MaxPayloadInMB", DEFAULT_MEGABYTES) * records.MEGABYTE or None,
        lines_out=target.get("AssembleWith") == "Line",
        media=records.media(source.get("ContentType")),
        select=select,
        keep=keep,
        join=processing.get("JoinSource") == "Input",
    )
    if plan.processes:
        _check_formats(plan, records.media(target.get("Accept")))
    return plan


def _check_formats(plan: records.Plan, accept: str) -> None:
    if plan.media not in records.FORMATS or accept not in records.FORMATS:
        raise invalid(
            "DataProcessing needs the ContentType of TransformInput and the Accept of "
            f"TransformOutput, each one of {', '.join(records.FORMATS)}."
        )
    if (plan.media == records.CSV) != (accept == records.CSV):
        raise invalid("DataProcessing needs the same format for input and output.")
    if plan.media != records.JSON and not (plan.by_line and plan.lines_out):
        raise invalid(f"DataProcessing of {plan.media} needs SplitType Line and AssembleWith Line.")
    if plan.media == records.CSV and not (plan.select.by_place and plan.keep.by_place):
        raise invalid("Only JSONPaths of indexes, such as $[0] or $[1:], can be applied to CSV.")
