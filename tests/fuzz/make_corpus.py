"""Write the corpus: small inputs from which the fuzzer sets out, one for each rule of the readers."""

from __future__ import annotations

import zlib
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
MASK = b"\x37\xfa\x21\x3d"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# The byte of choices in `fuzz_frames`: limits by 7, fragments by 3, then how messages inflate.
PLAIN, LIMIT_125, ONE_FRAME, TAKEOVER, NO_TAKEOVER, INFLATE_60 = 0, 3, 14, 42, 21, 25


def frame(opcode: int, payload: bytes = b"", *, start: int = 0x80, length: bytes | None = None) -> bytes:
    """Build a masked frame; `start` has the bits FIN and RSV, `length` stands in for the length's bytes."""
    size = len(payload)
    if length is None:
        length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2)
    masked = bytes(byte ^ MASK[index & 3] for index, byte in enumerate(payload))
    return bytes((start | opcode, length[0] | 0x80)) + length[1:] + MASK + masked


def deflated(payload: bytes, *, final: bool = False) -> bytes:
    """Deflate a message's payload as RFC 7692 section 7.2.1 says."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    if final:
        return deflate.compress(payload) + deflate.flush() + b"\x00"
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def frames() -> dict[str, bytes]:
    """Give seeds of frames by name."""
    plain = {
        "text": frame(TEXT, "Grüße, 世界 🌍".encode()),
        "binary": frame(BINARY, bytes(range(125))),
        "empty": frame(TEXT) + frame(BINARY),
        "medium": frame(BINARY, b"x" * 126) + frame(TEXT, b"y" * 700),
        "fragments": frame(TEXT, b"a\xc3", start=0) + frame(PING, b"p") + frame(CONT, b"\xa9b"),
        "empty-fragments": frame(BINARY, start=0) + frame(CONT, start=0) + frame(CONT),
        "pings": frame(PING) + frame(PONG, b"x" * 125) + frame(PING, b"y"),
        "close": frame(CLOSE, b"\x03\xe8bye") + frame(TEXT, b"late"),
        "close-empty": frame(CLOSE),
        "close-in-message": frame(TEXT, b"a", start=0) + frame(CLOSE, b"\x0f\xa0"),
        "close-one-byte": frame(CLOSE, b"\x03"),
        "close-code": frame(CLOSE, b"\x03\xed"),
        "close-reason": frame(CLOSE, b"\x03\xe8\xed\xa0\x80"),
        "unmasked": b"\x81\x01a",
        "opcode": frame(3) + frame(0xB),
        "reserved": frame(TEXT, b"a", start=0xC0) + frame(TEXT, b"a", start=0xA0),
        "stray": frame(CONT, b"a"),
        "nested": frame(TEXT, b"a", start=0) + frame(TEXT, b"b"),
        "long-ping": frame(PING, b"x" * 126),
        "fragmented-ping": frame(PING, b"x", start=0),
        "not-minimal": frame(TEXT, b"abc", length=b"\x7e\x00\x03"),
        "not-minimal-8": frame(TEXT, b"abc", length=b"\x7f" + (3).to_bytes(8)),
        "top-bit": frame(BINARY, b"abc", length=b"\x7f" + b"\xff" * 8),
        "over-the-limit": frame(BINARY, b"abc", length=b"\x7f" + (65_537).to_bytes(8)),
        "overlong": frame(TEXT, b"a\xc0\xaf"),
        "surrogate": frame(TEXT, b"\xed\xa0", start=0) + frame(CONT, b"\x80"),
        "cut-character": frame(TEXT, b"a\xe2\x82"),
        "above-unicode": frame(TEXT, b"\xf4\x90\x80\x80"),
    }
    seeds = {name: (PLAIN, wire) for name, wire in plain.items()}
    seeds["limit"] = LIMIT_125, frame(BINARY, bytes(125)) + frame(BINARY, bytes(126))
    seeds["limit-fragments"] = LIMIT_125, frame(BINARY, bytes(60), start=0) + frame(CONT, bytes(66))
    seeds["one-frame"] = ONE_FRAME, frame(TEXT, b"a") + frame(TEXT, b"b", start=0)
    again = deflated(b"again and again and again")
    for name, choice in (("takeover", TAKEOVER), ("no-takeover", NO_TAKEOVER)):
        twice = frame(TEXT, again, start=0xC0) + frame(TEXT, again, start=0xC0)
        parts = frame(TEXT, again[:5], start=0x40) + frame(PING) + frame(CONT, again[5:])
        seeds[name] = choice, twice + parts
        seeds[f"{name}-final-block"] = choice, frame(BINARY, deflated(b"abc", final=True), start=0xC0) + twice
        seeds[f"{name}-garbage"] = choice, frame(BINARY, b"\xff\xff\xff\xff", start=0xC0)
        seeds[f"{name}-not-text"] = choice, frame(TEXT, deflated(b"a\xff"), start=0xC0)
    finals = deflated(b"abc", final=True)[:-1]
    seeds["final-blocks"] = TAKEOVER, frame(TEXT, finals * 3 + again, start=0xC0) * 2
    seeds["too-many-final-blocks"] = TAKEOVER, frame(TEXT, finals * 17, start=0xC0)
    seeds["bomb"] = INFLATE_60, frame(BINARY, deflated(bytes(100_000)), start=0xC0)
    seeds["bomb-not-text"] = INFLATE_60, frame(TEXT, deflated(b"\xff" + b"a" * 1_000), start=0xC0)
    seeds["inflated-limit"] = INFLATE_60, frame(BINARY, deflated(bytes(60)), start=0xC0)
    seeds["deflated-control"] = TAKEOVER, frame(PING, b"x", start=0xC0)
    seeds["deflated-continuation"] = TAKEOVER, frame(TEXT, again, start=0x40) + frame(CONT, b"", start=0xC0)
    return {f"frames-{name}": bytes((ord("F"), choice, 7)) + wire for name, (choice, wire) in seeds.items()}


def heads() -> dict[str, bytes]:
    """Give seeds of opening handshakes by name."""
    upgrade = "Upgrade: websocket|Connection: keep-alive, Upgrade|Sec-WebSocket-Version: 13"
    good = f"Host: example.com|{upgrade}|Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    extension = "|Sec-WebSocket-Extensions: "
    seeds = {
        "good": f'GET /chat?room=a%20b HTTP/1.1|{good}|Cookie: a=b; c="d"|Origin: https://a.example.com',
        "protocols": f"GET / HTTP/1.1|{good}|Sec-WebSocket-Protocol: x, chat.v1,,chat.v2",
        "deflate": f"GET / HTTP/1.1|{good}{extension}permessage-deflate; client_max_window_bits",
        "deflate-all": f"GET / HTTP/1.1|{good}{extension}permessage-deflate; server_no_context_takeover; "
        'client_no_context_takeover; server_max_window_bits=10; client_max_window_bits="12"',
        "deflate-offers": f"GET / HTTP/1.1|{good}{extension}x-webkit, "
        f"permessage-deflate; server_max_window_bits=8{extension}permessage-deflate",
        "deflate-bits": f"GET / HTTP/1.1|{good}{extension}permessage-deflate; server_max_window_bits=016",
        "absolute": f"GET http://example.com/a%C3%A9 HTTP/1.1|{good}",
        "authority": f"GET http://other.example/ HTTP/1.1|{good}",
        "dots": f"GET /a/%2e%2e/b HTTP/1.1|{good}",
        "slashes": f"GET //a%2Fb HTTP/1.1|{good}",
        "escape": f"GET /%zz HTTP/1.1|{good}",
        "address": f"GET / HTTP/1.1|Host: [::1]:8080|{upgrade}|Origin: http://[0:0::1]:8080",
        "origins": f"GET / HTTP/1.1|{good}|Origin: null|Origin: https://example.com",
        "host-twice": f"GET / HTTP/1.1|{good}|Host: example.com",
        "key": f"GET / HTTP/1.1|Host: a|{upgrade}|Sec-WebSocket-Key: \u00e9===",
        "version": f"GET / HTTP/1.1|{good}|Sec-WebSocket-Version: 8",
        "body": f"POST / HTTP/1.0|{good}|Content-Length: 1|Transfer-Encoding: chunked",
        "fold": f"GET / HTTP/1.1|{good}| folded: yes|a : b",
        "cookies": f'GET / HTTP/1.1|{good}|Cookie: a[]=b; =; ;"|Cookie: $Version=1',
        "lines": "GET / HTTP/1.1" + "|a:b" * 101,
        "empty": "",
    }
    return {
        f"head-{name}": b"H" + text.replace("|", "\r\n").encode("latin-1") for name, text in seeds.items()
    }


def main() -> None:
    """Write the files; those that the fuzzer has found stay."""
    CORPUS.mkdir(exist_ok=True)
    for name, data in {**frames(), **heads()}.items():
        (CORPUS / name).write_bytes(data)


if __name__ == "__main__":
    main()
