"""Requests as bytes: sound ones, and what is not sound HTTP/1.1 and must be refused."""

from __future__ import annotations

GET = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes, *lines: str, path: str = "/echo", length: bool = True) -> bytes:
    announced = [f"Content-Length: {len(body)}"] if length else []
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *announced, *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def chunks(*parts: bytes, trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return (
        post(b"", "Transfer-Encoding: chunked", length=False) + body + b"0\r\n" + trailers + b"\r\n"
    )


LENGTH = "Content-Length: 3"
SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
EVIL = {
    "length and chunks": post(SMUGGLED, "Transfer-Encoding: chunked"),
    "chunks and length": post(SMUGGLED, "Transfer-Encoding: chunked", LENGTH, length=False),
    "two lengths": post(b"abc", LENGTH),
    "two different lengths": post(b"abc", "Content-Length: 2"),
    "lengths in one": post(b"abc", "Content-Length: 3, 3", length=False),
    "a signed length": post(b"abc", "Content-Length: +3", length=False),
    "a negative length": post(b"abc", "Content-Length: -3", length=False),
    "a length in hexadecimal": post(b"abc", "Content-Length: 0x3", length=False),
    "an endless length": post(b"abc", "Content-Length: " + "9" * 30, length=False),
    "an empty length": post(b"abc", "Content-Length: ", length=False),
    "a chunk of no size": chunks(b"abc").replace(b"3\r\n", b"zz\r\n"),
    "a chunk of negative size": chunks(b"abc").replace(b"3\r\n", b"-3\r\n"),
    "a chunk of enormous size": chunks(b"abc").replace(b"3\r\n", b"f" * 17 + b"\r\n"),
    "a chunk longer than it says": chunks(b"abc").replace(b"3\r\n", b"2\r\n"),
    "chunks twice": post(SMUGGLED, *["Transfer-Encoding: chunked"] * 2, length=False),
    "chunks in one twice": post(SMUGGLED, "Transfer-Encoding: chunked, chunked", length=False),
    "compressed chunks": post(SMUGGLED, "Transfer-Encoding: gzip, chunked", length=False),
    "chunks not last": post(SMUGGLED, "Transfer-Encoding: chunked, gzip", length=False),
    "another coding": post(SMUGGLED, "Transfer-Encoding: xchunked", length=False),
    "identity": post(SMUGGLED, "Transfer-Encoding: identity", length=False),
    "a coding with a tabulator": post(SMUGGLED, "Transfer-Encoding: \x0bchunked", length=False),
    "a space before the colon": post(SMUGGLED, "Transfer-Encoding : chunked", length=False),
    "chunks in HTTP/1.0": chunks(b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "NUL in a value": post(b"abc", "X-Nul: a\0b"),
    "NUL in a name": post(b"abc", "X-\0Nul: ab"),
    "a lone carriage return": post(b"abc", "X-A: a\rX-B: b"),
    "a folded header": post(b"abc", "X-A: a\r\n b"),
    "no colon": post(b"abc", "no colon"),
    "no name": post(b"abc", ": value"),
    "two hosts": post(b"abc", "Host: b"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a later HTTP": GET.replace(b"1.1", b"2.0"),
    "an HTTP that there is not": GET.replace(b"1.1", b"1.7"),
    "an earlier HTTP": b"GET /\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an unknown method": GET.replace(b"GET", b"GRAB"),
    "spaces in the target": GET.replace(b"/ping", b"/pi ng"),
    "many headers": post(b"abc", *[f"X-{number}: 1" for number in range(9000)]),
    "the same header many times": post(b"abc", *["X-Many: 1"] * 9000),
    "a long header": post(b"abc", "X-Long: " + "a" * 40_000),
    "a long target": GET.replace(b"/ping", b"/" + b"a" * 40_000),
    "an endless header": b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 100_000,
    "an endless target": b"GET /" + b"a" * 100_000,
}
