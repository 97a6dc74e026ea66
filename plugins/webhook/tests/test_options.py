"""The options, and the README, held against each other and against the code."""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from playwright._impl._driver import compute_driver_executable

from gateway import GatewayError
from gateway.testing import serve
from gateway_webhook import Webhook, WebhookOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Served

    Serve = Callable[..., Awaitable[Served]]
    Connect = Callable[..., Awaitable[Client]]

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SHIPPED = (Path(__file__).parents[3] / "gateway.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "http://example.com/"}, "allow_plain_http would allow it"),
        ({"url": "ftp://example.com/"}, "not a url"),
        ({"url": "https://ada:SECRET@example.com/"}, "not a url"),
        ({"url": "https://example.com:99999/"}, "not a url"),
        ({"secrets": []}, "secrets"),
        ({"secrets": ["SECRET!"]}, "not base64"),
        ({"secrets": ["whsec_U0VDUkVU"]}, "a key of 6 bytes, expected 24 to 64"),
        ({"server_ca": "/nowhere.pem"}, "authorities do not load"),
        ({"events": ["opened"]}, "events"),
        ({"headers": ["a b"]}, "headers"),
        ({"deadline_seconds": 1}, "deadline_seconds is below timeout_seconds"),
        ({"timeout": 5}, "timeout"),
    ],
)
async def test_bad_option_is_refused(serve_webhook: Serve, options: dict[str, Any], told: str) -> None:
    """What cannot be meant refuses to start, in words, and no secret is repeated."""
    with pytest.raises(GatewayError, match=re.escape(told)) as failed:
        await serve_webhook(**options)
    assert not any(word in str(failed.value) for word in ("SECRET", "U0VDUkVU"))


async def test_authorities_are_from_the_folder_of_the_file(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path of authorities begins at gateway.yaml, whatever the working directory has there."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    folder, elsewhere = tmp_path / "gateway", tmp_path / "elsewhere"
    for place, written in ((folder, authority), (elsewhere, trustme.CA())):
        place.mkdir()
        written.cert_pem.write_to_path(place / "authorities.pem")
    monkeypatch.chdir(elsewhere)
    service.answer = lambda _: [{"type": "send", "text": "safe"}]
    runner = await service.serve(tls)
    options = {
        "url": service.url,
        "secrets": [service.secret],
        "server_ca": "authorities.pem",
        "max_tries": 1,
    }
    try:
        async with serve(folder, Webhook, options=options) as served, served.client() as client:
            assert await client.receive() == "safe"
    finally:
        await runner.cleanup()


def test_authorities_of_options_made_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a gateway.yaml a relative path of authorities begins at the working directory."""
    monkeypatch.chdir(tmp_path)
    trustme.CA().cert_pem.write_to_path(tmp_path / "authorities.pem")
    options = WebhookOptions.model_validate(
        {
            "url": "https://example.com/",
            "secrets": [base64.b64encode(bytes(32)).decode()],
            "server_ca": "authorities.pem",
        }
    )
    assert options.server_ca == Path("authorities.pem")


def test_each_option_has_a_row() -> None:
    """Each option stands in the README's table with its default, and says itself what it means."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", README.partition("## Options")[2], re.MULTILINE))
    assert rows.keys() == WebhookOptions.model_fields.keys()
    for name, field in WebhookOptions.model_fields.items():
        assert field.description
        if not field.is_required():
            default = field.default
            shown = f"[{', '.join(default)}]" if isinstance(default, tuple) else json.dumps(default)
            assert rows[name].strip("`") == shown, name


def snippet(language: str) -> str:
    """Give the README's example of how to verify a signature."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


async def test_examples_verify_signatures(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """The README's functions know the gateway's requests by either key, and no others, in both languages."""
    other = base64.b64encode(bytes(32)).decode()
    served = await serve_webhook(secrets=[other, service.secret])
    await (await gateway_client(served)).send("你好")
    await service.heard("open", "你好")
    request = service.requests[1]
    headers = {name.lower(): value for name, value in request.headers.items()}
    late = headers | {"webhook-timestamp": str(int(time.time()) - 301)}
    moved = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}
    body = request.body
    cases = [
        (headers, body, service.secret, True),
        (headers, body, f"whsec_{other}", True),
        (headers, body, other, True),
        (headers, body, base64.b64encode(b"x" * 32).decode(), False),
        (headers, body + b" ", service.secret, False),
        (moved, body, service.secret, False),
        (late, body, service.secret, False),
        (headers | {"webhook-id": "another"}, body, service.secret, False),
        (headers | {"webhook-signature": "v1,é v2"}, body, service.secret, False),
    ]
    scope: dict[str, Any] = {}
    exec(compile(snippet("python"), "README.md", "exec"), scope)  # noqa: S102 - our own document
    assert [scope["verify"](*case[:3]) for case in cases] == [case[3] for case in cases]
    given = [(fields, base64.b64encode(sent).decode(), secret) for fields, sent, secret, _ in cases]
    script = textwrap.dedent(f"""
        const cases = {json.dumps(given)};
        const judge = ([headers, body, secret]) => verify(headers, Buffer.from(body, "base64"), secret);
        console.log(JSON.stringify(cases.map(judge)));
    """)
    node = str(compute_driver_executable()[0])
    told = subprocess.run([node, "-e", snippet("javascript") + script], capture_output=True, check=True)  # noqa: S603, ASYNC221
    assert json.loads(told.stdout) == [case[3] for case in cases]


async def test_shipped_configuration_shows_it(serve_gateway: Serve) -> None:
    """The place in the shipped gateway.yaml, with its comment signs taken away, is good."""
    block = re.search(r"^  # - path: /orders\n(?:  #.*\n)+", SHIPPED, re.MULTILINE)
    assert block is not None
    routes = re.sub(r"^  # ?", "  ", block[0], flags=re.MULTILINE)
    secret = base64.b64encode(bytes(32)).decode()
    served = await serve_gateway(f"routes:\n{routes}", environ={"WEBHOOK_SECRET": secret})
    assert [handler.__name__ for handler in served.handlers] == ["Webhook"]
