"""The bucket that a deployment makes for itself: its settings as calls, and whether they hold.

A bucket that was there before is left as it is: what it may be asked belongs to others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.policy import bucket_policy
from infra.steps import Call

if TYPE_CHECKING:
    from infra.resources import Bucket

_BLOCKED = (
    *("BlockPublicAcls", "IgnorePublicAcls"),
    *("BlockPublicPolicy", "RestrictPublicBuckets"),
)


def guards(bucket: Bucket) -> tuple[tuple[str, Call], ...]:
    """What closes a new bucket, each with a few words: nobody's public, encrypted, TLS only."""
    place = {"Bucket": bucket.name}
    blocked = {"PublicAccessBlockConfiguration": dict.fromkeys(_BLOCKED, True)}
    rules = {"ServerSideEncryptionConfiguration": {"Rules": [_rule(bucket.kms_key)]}}
    key = bucket.kms_key or "a key of S3"
    calls = [
        ("no public access", Call("s3", "put_public_access_block", {**place, **blocked})),
        (f"encrypted under {key}", Call("s3", "put_bucket_encryption", {**place, **rules})),
    ]
    if bucket.tls_only:
        policy = {**place, "Policy": _policy(bucket.name)}
        calls.append(("TLS only", Call("s3", "put_bucket_policy", policy)))
    return tuple(calls)


def is_guarded(bucket: Bucket, policy: str | None, encryption: dict[str, Any] | None) -> bool:
    """Whether the last of these calls was made, and the key is the one that is asked for.

    Args:
        bucket: as it should be.
        policy: the bucket's policy as it is.
        encryption: GetBucketEncryption's answer.
    """
    if bucket.tls_only and (policy is None or json.loads(policy) != bucket_policy(bucket.name)):
        return False
    rules = (encryption or {}).get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    set_to = [one.get("ApplyServerSideEncryptionByDefault", {}) for one in rules]
    return [one.get("KMSMasterKeyID") for one in set_to] == [bucket.kms_key]


def _policy(name: str) -> str:
    return json.dumps(bucket_policy(name), sort_keys=True)


def _rule(kms_key: str | None) -> dict[str, object]:
    if kms_key is None:
        return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key}
    # One call of KMS for many objects instead of one for each.
    return {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
