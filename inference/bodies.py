"""Reads the body of a request from granian: whole, within the limits, and in time.

How a body may come: with its length announced, or in chunks (RFC 9112, section 7.1).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from granian.rsgi import ProtocolClosed, ProtocolError

from inference import limits
from inference.gate import Gate
from shared.errors import InputError

DISCARD_BYTES = 67_108_864
"""So much of a body that is not wanted is read and thrown away, so that its sender comes to read
the answer and can go on with the connection; of a longer one the connection is closed."""


async def announced(protocol: Any, gate: Gate, *, large: bool = False) -> bytes:
    """A body of announced length, which the gate's limit permits.

    Args:
        protocol: granian's, of the request.
        gate: counts it.
        large: whether the request counts among the large ones.

    Raises:
        InputError: 400 when the client stops half way, 408 when the body does not arrive in time.
    """
    reader = protocol()
    gate.begins(reader, large=large)
    try:
        body: bytes = await reader
    except ProtocolClosed:
        raise _incomplete("before its announced length") from None
    except asyncio.CancelledError:
        raise _late() from None
    finally:
        gate.ends(reader)
    return body


async def chunked(protocol: Any, gate: Gate) -> bytes:
    """A body of unannounced length. Its bytes are counted in the gate; the caller releases them.

    Granian ends a body with one empty part, and one that broke off with two, as it does one with
    trailers, which no SageMaker client sends.

    Raises:
        InputError: 400 when the body breaks off or has trailers, 408 when it does not arrive in
            time, 413 when it is too large.
        UnavailableError: too many bytes are in flight.
    """
    task = asyncio.current_task()
    assert task is not None
    parts: list[bytes] = []
    size = held = empty = 0
    gate.begins(task)
    try:
        async for part in protocol:
            size += len(part)
            empty += not part
            if size > max(gate.longest, DISCARD_BYTES):
                break
            if size <= gate.longest:
                await gate.hold(len(part))
                held += len(part)
                parts.append(part)
            else:
                parts.clear()
        if size > gate.longest:
            raise limits.too_large(gate.longest)
        if empty > 1:
            raise _incomplete("before its last chunk, or has trailers")
    except asyncio.CancelledError:
        task.uncancel()
        gate.bytes -= held
        raise _late() from None
    except BaseException:
        gate.bytes -= held
        raise
    finally:
        gate.ends(task)
    return b"".join(parts)


async def discard(protocol: Any, size: int, gate: Gate) -> None:
    """Read `size` bytes and throw them away, if it is worth the while and the client goes on."""
    if size > DISCARD_BYTES:
        return
    # What has been read already, or never comes, does not matter.
    with contextlib.suppress(ProtocolError, ProtocolClosed, TimeoutError):
        # Those before may stall, too, and each for the whole of its time.
        async with (
            asyncio.timeout(limits.BODY_SECONDS),
            gate.discarding,
            asyncio.timeout(limits.SLOW_SECONDS),
        ):
            if size <= limits.BODY_BYTES:
                await protocol()  # at once: part by part takes several times as long
            else:
                async for _ in protocol:
                    pass


def _incomplete(where: str) -> InputError:
    return InputError("incomplete_body", f"The body ended {where}", cure="Send all of it")


def _late() -> InputError:
    return InputError(
        "timeout",
        f"The body did not arrive within {limits.BODY_SECONDS} seconds",
        status=408,
        cure="Send it faster, or fewer rows in one request",
    )
