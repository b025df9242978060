"""What AWS's errors mean: is a thing missing, was a call refused, and what should a person do.

They are looked at by class name and error code, so that botocore need not be loaded for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import DeploymentError, KitError

_MISSING_CODES = {
    "404",
    "ImageNotFoundException",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchEntity",
    "NoSuchKey",
    "RepositoryNotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ServerSideEncryptionConfigurationNotFoundError",
}
# SageMaker says ValidationException for a name it does not know.
_MISSING_WORDS = ("could not find", "not found", "does not exist")

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_INVALID = (
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthFailure",
)
_DENIED = ("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation")
_LIMITS = ("ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException")
_THROTTLED = ("Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown")


def code_of(error: BaseException) -> str:
    """The AWS error code that a botocore ClientError carries, or ""."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def text_of(error: BaseException) -> str:
    """The service's own words in a botocore ClientError, or the error's text."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return str(response.get("Error", {}).get("Message", "")) or str(error)
    return str(error)


def is_missing(error: BaseException) -> bool:
    """Whether AWS says that a thing does not exist."""
    code = code_of(error)
    if code in _MISSING_CODES:
        return True
    words = text_of(error).lower()
    return code == "ValidationException" and any(part in words for part in _MISSING_WORDS)


def explain(error: Exception, doing: str) -> KitError:
    """What an AWS error means: what was being done, what the service said, and the cure."""
    if isinstance(error, KitError):
        return error
    code, words = code_of(error), text_of(error).rstrip(". ")
    message = f"{words} ({code})" if code else words
    return DeploymentError(message, where=doing, cure=_cure(type(error).__name__, code, words))


def _cure(kind: str, code: str, words: str) -> str | None:
    known = {
        "NoCredentialsError": "Run `aws configure`, or `aws sso login`, or set AWS_PROFILE.",
        "PartialCredentialsError": "Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        "ProfileNotFound": "Name a profile of ~/.aws/config under [aws].profile.",
        "NoRegionError": "Write the region under [aws].region of project.toml.",
        "SSOTokenLoadError": "Run `aws sso login`.",
        "TokenRetrievalError": "Run `aws sso login`.",
        "UnauthorizedSSOTokenError": "Run `aws sso login`.",
        "EndpointConnectionError": "Check the network, and that [aws].region is a region of AWS.",
        "ConnectTimeoutError": "Check the network and any proxy, then run the command again.",
        "ReadTimeoutError": "Run the command again: it goes on where it stopped.",
        "ConnectionClosedError": "Run the command again: it goes on where it stopped.",
    }
    if kind in ("EndpointConnectionError", "ConnectionClosedError") and "//127.0.0.1:" in words:
        return "The local cloud has ended, and what it held is gone: `make deploy` builds it again."
    if kind in known:
        return known[kind]
    if code in _EXPIRED:
        return "The credentials have expired: log in again, for example with `aws sso login`."
    if code in _INVALID:
        return "AWS does not know these credentials: check AWS_PROFILE or run `aws configure`."
    if code in _DENIED or "is not authorized to perform" in words:
        return "Ask for that permission, or use credentials that have it ([aws].profile)."
    if code in _LIMITS:
        return "Raise the quota in the Service Quotas console, or choose another instance type."
    if code in _THROTTLED:
        return "AWS asks to slow down: run the command again in a minute."
    return None
