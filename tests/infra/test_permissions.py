"""The generated policies: actions that exist, on resources they take, of this project alone."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest

from infra.__main__ import main
from infra.grants import Grant, document
from infra.package import ROOT
from infra.permissions import deploying, invoking
from infra.policy import bucket_policy, trust
from infra.resources import Desired
from tests.infra.test_security import AWS, SEARCH
from tests.support import iam, projects
from tests.support.deployments import ACCOUNT, wanted
from tests.support.iam import Need, granting, needs

pytest.importorskip("policy_sentry")

ELSEWHERE = projects.TOML.replace('table = "carriers.csv"', 'table = "s3://elsewhere/carriers/"')
TENSORFLOW = projects.TOML + '[endpoint]\ncontainer = "tensorflow-serving"\n'
GIVEN = '[aws]\nrole = "arn:aws:iam::123456789012:role/given/SageMaker"\n'
PROJECTS = {
    "plain": projects.TOML,
    "in a VPC, under a key": projects.TOML + AWS,
    "searched by the service": SEARCH,
    "served by TensorFlow Serving": TENSORFLOW,
    "a role that was given": projects.TOML + GIVEN,
    "asynchronous and scaled": projects.TOML
    + '[endpoint]\nmode = "async"\nscaling = { min = 0, max = 2 }\n'
    'async = { notify_success = "arn:aws:sns:us-east-1:123456789012:answers" }\n',
    "built by CodeBuild": projects.TOML + AWS,
}
# Actions whose resources cannot be named, because a call lists what it does not know yet.
UNNAMED = {"cloudwatch:DescribeAlarms"}
# Of a role, not of what deploys.
LIMITS = {"deployer": 6144, "execution": 10_240}


@pytest.fixture(params=PROJECTS)
def desired(request: pytest.FixtureRequest, tmp_path: Path) -> Desired:
    account = replace(ACCOUNT, local=False)
    source = b"zip" if request.param == "built by CodeBuild" else None
    return wanted(tmp_path, toml=PROJECTS[request.param], account=account, image_source=source)


def grants(desired: Desired) -> dict[str, tuple[Grant, ...]]:
    return {
        "deployer": deploying(desired),
        "execution": desired.role.grants,
        "invoke": invoking(desired),
        "build": desired.image.build.role.grants if desired.image and desired.image.build else (),
    }


def every(desired: Desired) -> Iterable[Grant]:
    return [grant for each in grants(desired).values() for grant in each]


def test_every_action_exists_and_has_a_reason(desired: Desired) -> None:
    for grant in every(desired):
        for action, reason in grant.actions.items():
            assert iam.privilege(action), action
            assert 3 < len(reason) < 90, action


def test_every_statement_names_resources_that_its_actions_take(desired: Desired) -> None:
    for grant in every(desired):
        for action in grant.actions:
            forms = iam.arns(action)
            if grant.resources == ("*",):
                assert not forms, f"{action} could be narrowed to {forms}"
            else:
                assert any(
                    iam.fits(resource, form) for resource in grant.resources for form in forms
                ), (action, grant.resources)
        for resource in grant.resources:
            forms = [form for action in grant.actions for form in iam.arns(action)]
            assert resource == "*" or any(iam.fits(resource, form) for form in forms), resource


def test_every_condition_is_one_that_the_actions_know(desired: Desired) -> None:
    for grant in every(desired):
        asked = {key.lower() for test in grant.condition.values() for key in test}
        assert asked <= iam.condition_keys(grant.actions), grant.sid


def test_what_an_action_depends_on_is_allowed_too(desired: Desired) -> None:
    for each in grants(desired).values():
        allowed = {action for grant in each for action in grant.actions}
        # Listing quotas depends on each service whose quotas are asked for; SageMaker's on none.
        for action in allowed - {"servicequotas:ListServiceQuotas"}:
            described = iam.privilege(action)
            assert described is not None
            for kind in described["resource_types"].values():
                tags = {"ec2:CreateTags", "ecr:TagResource"}  # nothing of ours asks for these tags
                assert set(kind["dependent_actions"]) - tags <= allowed, action


def test_nothing_is_changed_on_everything(desired: Desired) -> None:
    for grant in every(desired):
        if grant.resources != ("*",):
            continue
        for action in grant.actions:
            described = iam.privilege(action)
            assert described is not None
            assert described["access_level"] in ("Read", "List") or grant.condition, action


def test_the_policies_are_not_too_long_for_iam(desired: Desired) -> None:
    for name, limit in LIMITS.items():
        text = json.dumps(document(grants(desired)[name]), separators=(",", ":"))
        assert len(text) <= limit, name


def test_statements_have_names_of_their_own(desired: Desired) -> None:
    for each in grants(desired).values():
        names = [grant.sid for grant in each]
        assert len(set(names)) == len(names)
        assert all(name.isalnum() for name in names)


@pytest.mark.parametrize(
    ("call", "key", "ours", "theirs"),
    [
        ("DeleteModel", "ModelName", "small-0123456789ab", "small-two-0123456789ab"),
        ("StopTrainingJob", "TrainingJobName", "small-0123456789ab-2", "tiny-0123456789ab"),
        ("DeleteEndpoint", "EndpointName", "small", "small-two"),
        ("InvokeEndpoint", "EndpointName", "small", "smaller"),
    ],
)
def test_what_another_project_made_is_not_touched(
    tmp_path: Path, call: str, key: str, ours: str, theirs: str
) -> None:
    policy = document(deploying(wanted(tmp_path)))
    (mine,), (other,) = (needs("sagemaker", call, {key: name}) for name in (ours, theirs))
    assert granting(policy, mine)
    assert not granting(policy, other)


def test_objects_of_other_projects_are_not_read(tmp_path: Path) -> None:
    want = wanted(tmp_path)
    for policy in (document(deploying(want)), json.loads(want.role.policy or "")):
        place = f"arn:aws:s3:::{want.bucket.name}"
        assert granting(policy, Need("s3:GetObject", f"{place}/small/record.json"))
        assert not granting(policy, Need("s3:GetObject", f"{place}/small-two/record.json"))
        assert not granting(policy, Need("s3:GetObject", "arn:aws:s3:::other/small/x"))


def test_the_role_may_be_passed_to_sagemaker_alone_and_no_other_role(desired: Desired) -> None:
    policy = document(deploying(desired))
    assert granting(policy, Need("iam:PassRole", desired.role.arn)) == ["PassRole"]
    assert not granting(policy, Need("iam:PassRole", f"{desired.role.arn}s"))
    (statement,) = [one for one in policy["Statement"] if one["Sid"] == "PassRole"]  # type: ignore[attr-defined]
    assert statement["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }


def test_a_caller_may_call_this_endpoint_and_nothing_else(tmp_path: Path) -> None:
    policy: dict[str, Any] = document(invoking(wanted(tmp_path)))
    assert iam.actions(policy) == {"sagemaker:InvokeEndpoint"}
    (statement,) = policy["Statement"]
    assert statement["Resource"] == "arn:aws:sagemaker:us-east-1:123456789012:endpoint/small"


def test_a_caller_of_an_asynchronous_endpoint_may_lay_down_rows_and_fetch_answers(
    tmp_path: Path,
) -> None:
    toml = projects.TOML + '[endpoint]\nmode = "async"\n'
    want = wanted(tmp_path, toml=toml)
    policy: dict[str, Any] = document(invoking(want))
    assert iam.actions(policy) == {"sagemaker:InvokeEndpointAsync", "s3:GetObject", "s3:PutObject"}
    assert want.hosting.async_ is not None
    answers = want.hosting.async_.output.removeprefix("s3://")
    assert granting(policy, Need("s3:GetObject", f"arn:aws:s3:::{answers}/1.out"))
    record = f"arn:aws:s3:::{want.bucket.name}/small/record.json"
    assert not granting(policy, Need("s3:GetObject", record))


def test_an_endpoint_that_tells_of_its_answers_may_do_so_there_and_nowhere_else(
    tmp_path: Path,
) -> None:
    role = json.loads(wanted(tmp_path, toml=PROJECTS["asynchronous and scaled"]).role.policy or "")
    topic = "arn:aws:sns:us-east-1:123456789012:answers"
    assert granting(role, Need("sns:Publish", topic))
    assert not granting(role, Need("sns:Publish", f"{topic}-2"))


def test_only_sagemaker_may_be_the_role() -> None:
    (statement,) = trust("sagemaker")["Statement"]  # type: ignore[misc, attr-defined]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}


def test_the_bucket_s_policy_allows_nothing() -> None:
    statements: Any = bucket_policy("b")["Statement"]
    assert {one["Effect"] for one in statements} == {"Deny"}


# boto3's own: each stands for several calls, and one that is no call of AWS.
TRANSFERS = {"upload_file": ["PutObject"], "copy": ["CopyObject", "GetObject"], "keep_best": []}
PREFIXES = {"service-quotas": "servicequotas", "sagemaker-runtime": "sagemaker"}
# Asked of the local cloud alone, by `make destroy`: does anything else live in it.
OF_THE_LOCAL_CLOUD = {
    "s3:ListAllMyBuckets",
    "sagemaker:ListEndpoints",
    "sagemaker:ListTrainingJobs",
    "sagemaker:ListHyperParameterTuningJobs",
}


@cache
def operations(service: str) -> dict[str, str]:
    """A service's operations by their boto3 names."""
    model = botocore.session.get_session().get_service_model(service)
    return {botocore.xform_name(name): name for name in model.operation_names}


def written() -> set[tuple[str, str]]:
    """Every operation that infra's code names: beside its service, or one of SageMaker's alone."""
    services = set(botocore.session.get_session().get_available_services())
    sagemaker = {name for name in operations("sagemaker") if "_" in name}
    found = set()
    for path in (ROOT / "infra").rglob("*.py"):
        if "local" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            texts = [str(one.value) if isinstance(one, ast.Constant) else "" for one in node.args]
            if not services & set(texts):
                found |= {("sagemaker", text) for text in texts if text in sagemaker}
            found |= {
                (service, operation)
                for service, operation in pairwise(texts)
                if service in services and operation in {**operations(service), **TRANSFERS}
            }
    return found


def test_whatever_infra_calls_is_in_the_deployer_s_policy(tmp_path: Path) -> None:
    allowed = {
        action
        for number, toml in enumerate(PROJECTS.values())
        for grant in deploying(wanted(tmp_path / str(number), toml=toml, image_source=b"zip"))
        for action in grant.actions
    }
    calls = written()
    assert ("sagemaker", "create_training_job") in calls
    for service, operation in calls:
        names = TRANSFERS[operation] if operation in TRANSFERS else [operations(service)[operation]]
        for name in names:
            prefix = PREFIXES.get(service, service)
            actions = iam.S3.get(name, [f"s3:{name}"]) if service == "s3" else [f"{prefix}:{name}"]
            missing = set(actions) - allowed - OF_THE_LOCAL_CLOUD
            assert not missing, f"{missing}: say in infra/permissions.py on what, and why"


def test_make_policy_prints_each_with_reasons_and_one_as_iam_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    monkeypatch.setenv("LOCAL_CLOUD_ROOT", str(tmp_path / "cloud"))
    project = str(projects.make(tmp_path / "project"))
    assert main(["policy", "--project", project]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"deployer", "execution", "invoke", "bucket"}
    for name in ("deployer", "execution", "invoke"):
        assert told[name]["reasons"].keys() == iam.actions(told[name]["policy"])
    for name, each in told.items():
        assert main(["policy", "--project", project, "--of", name]) == 0
        assert json.loads(capsys.readouterr().out) == each["policy"]
    assert not (tmp_path / "cloud").exists()
