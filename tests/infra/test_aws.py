"""What AWS's errors mean to a person: what was being done, the service's words, the cure."""

from __future__ import annotations

import pytest
from botocore import exceptions

from infra.aws import connect, find
from infra.failures import explain, is_missing, meaning
from infra.sections import Aws
from shared.errors import DeploymentError
from tests.support.fake_cloud import refused

CURES = {
    "no credentials": (exceptions.NoCredentialsError(), "aws configure"),
    "an unknown profile": (exceptions.ProfileNotFound(profile="me"), r"\[aws\]\.profile"),
    "no region": (exceptions.NoRegionError(), r"\[aws\]\.region"),
    "an expired login": (exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
    "an address nobody answers": (
        exceptions.EndpointConnectionError(endpoint_url="https://sts.test"),
        "network",
    ),
    "a local cloud that has ended": (
        exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:40863/"),
        "make deploy` builds it again",
    ),
    "an answer that never comes": (
        exceptions.ReadTimeoutError(endpoint_url="https://sts.test"),
        "goes on where it stopped",
    ),
    "an expired token": (refused("CreateModel", "ExpiredTokenException"), "log in again"),
    "unknown keys": (refused("CreateModel", "InvalidClientTokenId"), "aws configure"),
    "no permission": (refused("CreateModel", "AccessDeniedException"), "permission"),
    "no permission, said in words": (
        refused("CreateModel", "ValidationException", "x is not authorized to perform: y"),
        "permission",
    ),
    "too many requests": (refused("CreateModel", "ThrottlingException"), "slow down"),
    "a region that is none": (
        exceptions.InvalidRegionError(region_name="eu central"),
        r"\[aws\]\.region",
    ),
    "a region that is misspelt": (
        exceptions.EndpointConnectionError(endpoint_url="https://sts.eu-cental-1.amazonaws.com/"),
        r"\[aws\]\.region",
    ),
    "a region that is switched off": (
        refused("DescribeEndpoint", "OptInRequired", "You are not subscribed to this service"),
        "switched on",
    ),
    "a login that cannot be renewed": (
        exceptions.TokenRetrievalError(provider="sso", error_msg="Token has expired"),
        "aws sso login",
    ),
    "a token that expired on the way": (
        refused(
            "GetCallerIdentity",
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
        "log in again",
    ),
    "a bucket of another region": (refused("HeadBucket", "301", "Moved Permanently"), "region"),
    "a bucket of somebody else": (
        refused(
            "CreateBucket",
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all "
            "users of the system. Please select a different name and try again.",
        ),
        r"\[aws\]\.bucket",
    ),
    "a quota": (
        refused(
            "CreateEndpoint",
            "ResourceLimitExceeded",
            "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances, "
            "with current utilization of 0 Instances and a request delta of 1 Instances. Please "
            "contact AWS support to request an increase for this limit.",
        ),
        "more of 'ml.m5.large for endpoint usage' in the Service Quotas console",
    ),
    "a role that trusts nobody": (
        refused(
            "CreateModel",
            "ValidationException",
            "Could not assume role arn:aws:iam::123456789012:role/mine. Please ensure that the "
            "role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.",
        ),
        "trust sagemaker.amazonaws.com",
    ),
    "a role that may not be passed on": (
        refused(
            "CreateTrainingJob",
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/anna is not authorized to perform: iam:PassRole "
            "on resource: arn:aws:iam::123456789012:role/mine",
        ),
        "needs iam:PassRole",
    ),
    "an image that is missing": (
        refused(
            "CreateModel",
            "ValidationException",
            "Requested image 123456789012.dkr.ecr.us-east-1.amazonaws.com/keras-serving:0 not "
            "found.",
        ),
        "not in the registry",
    ),
    "a repository that is missing": (
        refused(
            "CreateTrainingJob",
            "ValidationException",
            "Cannot find repository: mine in registry ID: 123456789012 Please check if your ECR "
            "repository exists and role arn:aws:iam::123456789012:role/mine has proper pull "
            "permissions for SageMaker: ecr:BatchCheckLayerAvailability",
        ),
        "not in the registry",
    ),
    "a payload that is too large": (
        refused("InvokeEndpoint", "413", "HTTP content length exceeded 6291456 bytes."),
        "6 MiB",
    ),
    "a payload that is too large for a serverless endpoint": (
        refused("InvokeEndpoint", "ValidationError", "Request 0-1-2 has oversize body."),
        "4 MB",
    ),
    "a name that is taken": (
        refused(
            "CreateEndpoint",
            "ValidationException",
            'Cannot create already existing endpoint "arn:aws:sagemaker:us-east-1:123456789012:'
            'endpoint/small".',
        ),
        "choose another `name`",
    ),
    "an endpoint that is being updated": (
        refused(
            "UpdateEndpoint",
            "ValidationException",
            'Cannot update in-progress endpoint "arn:aws:sagemaker:us-east-1:123456789012:'
            'endpoint/small".',
        ),
        "make deploy` waits for it",
    ),
}
# Reasons as DescribeTrainingJob and DescribeEndpoint give them.
REASONS = {
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a "
    "different ML instance type.": "another instance type",
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different instance type or after some time.": "another instance type",
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint.": "GET /ping",
    "ClientError: SageMaker was unable to assume the role "
    "'arn:aws:iam::123456789012:role/mine'": "trust sagemaker.amazonaws.com",
    "Please make sure all images included in the model for the production variant AllTraffic "
    "exist, and that the execution role used to create the model has permissions to access "
    "them.": "not in the registry",
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_why_a_job_or_an_endpoint_failed_is_told_with_its_meaning(reason: str) -> None:
    assert REASONS[reason] in (meaning(reason) or "")


def test_a_reason_of_the_program_s_own_is_told_as_it_is() -> None:
    assert meaning("AlgorithmError: the data has only one class, exit code: 1") is None


@pytest.mark.parametrize("case", CURES)
def test_an_error_is_told_with_its_cure(case: str) -> None:
    error, cure = CURES[case]
    told = explain(error, "Creating model small")
    assert isinstance(told, DeploymentError)
    assert told.where == "Creating model small"
    with pytest.raises(DeploymentError, match=cure):
        raise told


def test_the_service_s_own_words_and_code_are_kept() -> None:
    error = refused("CreateModel", "ValidationException", "Invalid image URI.")
    assert "Invalid image URI (ValidationException)" in str(explain(error, "Creating"))


def test_a_list_of_hundreds_of_values_is_cut_to_the_one_that_is_meant() -> None:
    sizes = [f"ml.m5.{size}xlarge" for size in range(2, 200)]
    message = (
        "1 validation error detected: Value 'ml.m5.lrge' at 'productionVariants.1.member."
        "instanceType' failed to satisfy constraint: Member must satisfy enum value set: "
        f"[{', '.join(['ml.m5.large', *sizes])}]"
    )
    told = str(explain(refused("CreateEndpointConfig", "ValidationException", message), "Creating"))
    assert "enum value set: [199 values] (ValidationException). Did you mean 'ml.m5.large'?" in told
    assert len(told) < 300


def test_an_error_of_ours_stays_as_it_is() -> None:
    error = DeploymentError("no")
    assert explain(error, "Creating") is error


@pytest.mark.parametrize(
    ("code", "message", "missing"),
    [
        ("ValidationException", 'Could not find endpoint "x".', True),
        ("ValidationException", "Requested resource not found.", True),
        ("ValidationException", "1 validation error detected", False),
        ("NoSuchKey", "", True),
        ("404", "Not Found", True),
        ("AccessDenied", "not found", False),
    ],
)
def test_missing_is_told_from_refused(code: str, message: str, *, missing: bool) -> None:
    assert is_missing(refused("Describe", code, message)) is missing


@pytest.fixture
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A machine with no AWS settings of any kind."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("_nobody")
def test_connecting_without_credentials_says_how_to_get_some() -> None:
    with pytest.raises(DeploymentError, match="aws configure"):
        connect("aws", Aws(region="eu-central-1"))


@pytest.mark.usefixtures("_nobody")
def test_connecting_without_a_region_says_where_to_write_it() -> None:
    with pytest.raises(DeploymentError, match=r"\[aws\]"):
        find("aws", Aws())


@pytest.mark.usefixtures("_nobody")
def test_connecting_with_a_profile_that_is_not_there_says_so() -> None:
    with pytest.raises(DeploymentError, match="profile"):
        connect("aws", Aws(profile="nobody", region="eu-central-1"))
