"""Instance types: whether AWS has the ones that a project names, before anything trains on them.

The lists are botocore's own, which says nothing when it sends a type that is not on them: AWS
refuses it, and an endpoint's only when the model is trained.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache

from shared.errors import ProjectError

# What takes an instance, and the shape of SageMaker's API that lists what it takes. All that a
# batch can run on is among an endpoint's.
_SHAPES = {
    "training": ("training jobs", "TrainingInstanceType"),
    "endpoint": ("endpoints", "ProductionVariantInstanceType"),
}
_CLOSE = 3
# Graviton and Grace: the containers are made for the other kind of machine (images.PLATFORM).
_ARM = re.compile(r"ml\.([a-z]+\d+g[a-z]*|.+-gb\d+)\..+")


def refusals(named: Mapping[str, str]) -> Iterator[ProjectError]:
    """Every type that is not known where it is to be used, or that cannot run the containers.

    Args:
        named: "training" and "endpoint", and the types that are to run there.
    """
    for section, instance in named.items():
        users, shape = _SHAPES[section]
        known = _known()[shape]
        place = f"{section}.instance"
        fit = [name for name in known if not _ARM.fullmatch(name)]
        close = " or ".join(map(repr, difflib.get_close_matches(instance, fit, n=_CLOSE)))
        if _ARM.fullmatch(instance):
            yield ProjectError(
                f"{instance!r} has Arm processors, and the containers are made for x86-64",
                where=place,
                cure=f"Near it: {close}" if close else 'For example: "ml.m5.large"',
            )
        elif instance not in known:
            meant = f"Did you mean {close}? " if close else ""
            yield ProjectError(
                f"{instance!r} is no instance type of {users} that boto3 {_version()} knows",
                where=place,
                cure=f"{meant}If AWS offers it, boto3 is too old to know: "
                ".venv/bin/python -m pip install --upgrade boto3",
            )


@cache
def _known() -> Mapping[str, tuple[str, ...]]:
    """The types of each shape. boto3 is imported by what calls AWS, and by this, when it runs."""
    from botocore.loaders import create_loader

    shapes = create_loader().load_service_model("sagemaker", "service-2")["shapes"]
    return {shape: tuple(shapes[shape]["enum"]) for _, shape in _SHAPES.values()}


def _version() -> str:
    import boto3

    return str(boto3.__version__)
