"""What AWS's errors mean: is a thing missing, was a call refused, and what should a person do.

They are looked at by class name and error code, so that botocore need not be loaded for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from shared.errors import DeploymentError, KitError

_MISSING_CODES = {
    "404",
    "ImageNotFoundException",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchEntity",
    "NoSuchKey",
    "ObjectNotFoundException",
    "RepositoryNotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ServerSideEncryptionConfigurationNotFoundError",
}
# SageMaker says ValidationException for a name it does not know.
_MISSING_WORDS = ("could not find", "not found", "does not exist")
# The last is CodeBuild's.
_LAG_CODES = ("ValidationException", "NoSuchEntity", "InvalidInputException")
_LAG_WORDS = (
    "could not assume role",
    "please ensure that the role exists",
    "could not find",
    "cannot be found",
    "not found",
    "not authorized to perform: sts:assumerole",
    "modelpackagegroup",
)
# Said in the same words, but no wait would help.
_FINAL_WORDS = ("requested image",)
_SETTLED_CODES = (
    "BucketAlreadyOwnedByYou",
    "EntityAlreadyExists",
    "RepositoryAlreadyExistsException",
    "ResourceAlreadyExistsException",
    "ResourceInUse",
    "ResourceInUseException",
)


@dataclass(frozen=True)
class Meaning:
    """What one kind of failure means to a person.

    Attributes:
        cure: what to do; may name the quota concerned as {quota}.
        codes: AWS's error codes that say so.
        words: parts of the service's sentence that say so, in small letters, whatever the code.
    """

    cure: str
    codes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def fits(self, code: str, sentence: str) -> bool:
        """Whether an error is of this kind."""
        return code in self.codes or any(part in sentence for part in self.words)


# The first that fits counts: sentences before codes, since many share one code.
_MEANINGS = (
    Meaning(
        "Whoever deploys needs iam:PassRole for that role, with sagemaker.amazonaws.com as the "
        "service: `make policy` prints all that a deployment needs.",
        words=("iam:passrole",),
    ),
    Meaning(
        "The role has to exist and to trust sagemaker.amazonaws.com (sts:AssumeRole). A role of "
        "[aws].role is yours to set right; one that `make deploy` made is put right by `make "
        "destroy` and `make deploy`.",
        words=(
            "could not assume role",
            "unable to assume the role",
            "unable to perform: sts:assumerole",
            "please ensure that the role exists",
        ),
    ),
    Meaning(
        "The image is not in the registry, or the role may not read it. `make image` builds and "
        "pushes our own; of a repository in another account its policy has to allow "
        "ecr:BatchGetImage and ecr:GetDownloadUrlForLayer.",
        words=(
            "requested image",
            "cannot find repository",
            "make sure all images included in the model",
            "does not grant ecr:",
        ),
    ),
    Meaning(
        "AWS has no such instance free at the moment: run the same command again in a while, or "
        "choose another instance type or region. Nothing is paid for meanwhile.",
        codes=("InsufficientInstanceCapacity", "InsufficientCapacityException"),
        words=("capacityerror", "unable to provision requested ml compute capacity"),
    ),
    Meaning(
        "The container did not answer GET /ping with 200 in the time it has for its start: it "
        "ended, it hung, or it was not done loading its model.",
        words=("did not pass the ping health check",),
    ),
    Meaning(
        "A request may have 6 MiB (4 MB where the endpoint is serverless): send fewer rows at a "
        "time, or give them to a batch transform job or an asynchronous endpoint.",
        codes=("413", "RequestEntityTooLarge"),
        words=("oversize body", "content length exceeded"),
    ),
    Meaning(
        "An update of it is under way: `make status` shows how far it is, and `make deploy` waits "
        "for it.",
        words=("in-progress endpoint",),
    ),
    Meaning(
        "Bucket names are shared by all of AWS, and this one is somebody else's: name one of your "
        "own under [aws].bucket.",
        codes=("BucketAlreadyExists",),
    ),
    Meaning(
        "The name is taken by something that this project did not make: choose another `name` in "
        "project.toml, or delete that thing yourself.",
        codes=("ResourceInUse", "ResourceInUseException", "EntityAlreadyExists"),
        words=("cannot create already existing",),
    ),
    Meaning(
        "The bucket lies in another region: set [aws].region to that one, or name a bucket of this "
        "region under [aws].bucket.",
        codes=(
            "301",
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ),
    ),
    Meaning(
        "The region has to be switched on for the account first (Account settings, AWS Regions), "
        "or name another under [aws].region.",
        codes=("OptInRequired", "RegionDisabledException"),
    ),
    Meaning(
        "The credentials have expired: log in again, for example with `aws sso login`.",
        codes=("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
    ),
    Meaning(
        "AWS does not know these credentials: check AWS_PROFILE or run `aws configure`. It says "
        "the same of a region that is not switched on for the account.",
        codes=(
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "AuthFailure",
        ),
    ),
    Meaning(
        "Ask for that permission (`make policy` prints all that a deployment needs), or use "
        "credentials that have it ([aws].profile).",
        codes=("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"),
        words=("is not authorized to perform",),
    ),
    Meaning(
        "Ask for more of {quota} in the Service Quotas console, or choose another instance type.",
        codes=("ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"),
    ),
    Meaning(
        "AWS asks to slow down: run the command again in a minute.",
        codes=("Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"),
    ),
)
_ENUM = re.compile(r"Value '([^']*)' at [^\[]*Member must satisfy enum value set: \[([^\]]*)\]")
_SHOWN_VALUES = 20
_QUOTA = re.compile(r"service limit '([^']+)'")


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


def is_refusal(error: BaseException) -> bool:
    """Whether the service has said no: what was asked of it was not done, and will not be.

    Not so when it failed itself, nor when botocore asked more than once: what was done at first may
    have gone unheard.
    """
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return False
    told = response.get("ResponseMetadata", {})
    return told.get("HTTPStatusCode", 400) < 500 and not told.get("RetryAttempts")


def is_settled(error: BaseException) -> bool:
    """Whether what was to be created is there already: digests make it the same thing."""
    return code_of(error) in _SETTLED_CODES or (
        code_of(error) == "ValidationException" and "already exist" in text_of(error).lower()
    )


def is_lagging(error: BaseException) -> bool:
    """Whether AWS does not know yet what was made a moment ago."""
    if isinstance(error, KitError):
        return False
    words = text_of(error).lower()
    if any(part in words for part in _FINAL_WORDS):
        return False
    return code_of(error) in _LAG_CODES and any(part in words for part in _LAG_WORDS)


def explain(error: Exception, doing: str) -> KitError:
    """What an AWS error means: what was being done, what the service said, and the cure."""
    if isinstance(error, KitError):
        return error
    code, words = code_of(error), text_of(error).rstrip(". ")
    words, close = _shortened(words)
    message = f"{words} ({code})" if code else words
    cure = close or _cure(type(error).__name__, code, words)
    return DeploymentError(message, where=doing, cure=cure)


def _shortened(words: str) -> tuple[str, str | None]:
    """The words without a list of hundreds of values, and which of them is meant."""
    found = _ENUM.search(words)
    known = found.group(2).split(", ") if found else []
    if found is None or len(known) <= _SHOWN_VALUES:
        return words, None
    close = get_close_matches(found.group(1), known, n=1)
    short = f"{words[: found.start(2)]}{len(known)} values{words[found.end(2) :]}"
    return short, f"Did you mean {close[0]!r}?" if close else None


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
        "InvalidRegionError": 'Name a region such as "eu-central-1" under [aws].region.',
        "CredentialRetrievalError": "Log in again, for example with `aws sso login`.",
        "ConnectTimeoutError": "Check the network and any proxy, then run the command again.",
        "ReadTimeoutError": "Run the command again: it goes on where it stopped.",
        "ConnectionClosedError": "Run the command again: it goes on where it stopped.",
    }
    if kind in ("EndpointConnectionError", "ConnectionClosedError") and "//127.0.0.1:" in words:
        return "The local cloud has ended, and what it held is gone: `make deploy` builds it again."
    if kind in known:
        return known[kind]
    return meaning(words, code)


def meaning(sentence: str, code: str = "") -> str | None:
    """What to do about an error, or the reason why a job or an endpoint failed; None: unknown.

    Args:
        sentence: the service's own words.
        code: AWS's error code, if there is one.
    """
    quota = _QUOTA.search(sentence)
    named = f"'{quota.group(1)}'" if quota else "that quota"
    for known in _MEANINGS:
        if known.fits(code, sentence.lower()):
            return known.cure.replace("{quota}", named)
    return None
