"""What AWS's errors mean to a person: what was being done, the service's words, the cure."""

from __future__ import annotations

import pytest
from botocore import exceptions

from infra.aws import connect, find
from infra.failures import explain, is_missing
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
    "a quota": (refused("CreateEndpoint", "ResourceLimitExceeded"), "Service Quotas"),
    "too many requests": (refused("CreateModel", "ThrottlingException"), "slow down"),
}


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
