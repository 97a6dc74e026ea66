from __future__ import annotations

import asyncio
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from gateway.app.addresses import check_address
from gateway.app.prepare import judge
from gateway.config import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import Problem


def problems(folder: Path, listen: str, **environ: str) -> list[str]:
    """Judge the address of a `listen:`; give what is said, without the place."""
    file = folder / "gateway.yaml"
    file.write_text(f"listen: {{{listen}}}")
    return [str(one).partition(": ")[2] for one in check_address(load_config(file, {}), environ)]


@pytest.fixture
def taken() -> Iterator[int]:
    """The port of a program that is no gateway, though it answers."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "fine"}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_free_port(tmp_path: Path) -> None:
    """A free port is good, and so is any free one; it stays free."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    for listen in (f"port: {port}", "port: 0", f"port: {port}, host: localhost"):
        assert problems(tmp_path, listen) == []
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_of_another_program(tmp_path: Path, taken: int) -> None:
    """A port that another program has is an error."""
    fact = f"listen.port: port taken by another program: {taken}"
    assert problems(tmp_path, f"port: {taken}") == [fact]
    assert problems(tmp_path, f"port: {taken}, host: 0.0.0.0") == [fact]


def test_a_port_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that takes connections and says nothing is another program."""
    monkeypatch.setattr("gateway.app.addresses._PATIENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert problems(tmp_path, f"port: {port}") == [f"listen.port: port taken by another program: {port}"]
        # It is not asked again: a gateway would have answered something.
        server.setblocking(False)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()


def test_two_ports_that_never_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that has to be waited for is waited for at once."""
    monkeypatch.setattr("gateway.app.addresses._PATIENCE_SECONDS", 30)
    file = tmp_path / "gateway.yaml"
    with socket.create_server(("127.0.0.1", 0)) as main, socket.create_server(("127.0.0.1", 0)) as admin:
        ports = [one.getsockname()[1] for one in (main, admin)]
        file.write_text(f"{{listen: {{port: {ports[0]}}}, admin: {{port: {ports[1]}}}}}")
        found: list[Problem] = []
        checking = threading.Thread(target=lambda: found.extend(check_address(load_config(file, {}), {})))
        checking.start()
        # Nobody is answered before both have come; one after the other they would not, for a long time.
        held = []
        try:
            for one in (main, admin):
                one.settimeout(15)
                held.append(one.accept()[0])
        finally:
            for client in held:
                client.close()
            main.close()
            admin.close()
            checking.join()
    assert [one.message for one in found] == [f"port taken by another program: {port}" for port in ports]


def test_sockets_that_systemd_has(tmp_path: Path, taken: int) -> None:
    """Where systemd holds the sockets, that they are taken is as it should be."""
    assert problems(tmp_path, f"port: {taken}", LISTEN_FDS="1") == []


def test_a_port_that_is_wrong_in_itself(tmp_path: Path) -> None:
    """Nothing is said of the default port where another was meant."""
    file = tmp_path / "gateway.yaml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        file.write_text(f"listen: {{port: x, host: 127.0.0.1, backlog: {server.getsockname()[1]}}}")
        good = judge(file, {}).good
        assert good is not None
        assert list(check_address(good, {})) == []


@pytest.mark.parametrize("secure", [None, "none", "required"])
async def test_a_gateway_that_runs(serve_gateway, tmp_path: Path, secure: str | None) -> None:
    """The port of a gateway is what its own restart finds: a warning, with TLS or without."""
    tls = ""
    if secure is not None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pair.pem")
        asked = f", client_certificates: required, client_ca: {tmp_path}/ca.pem" * (secure == "required")
        tls = f"tls: {{certificate: {tmp_path}/pair.pem, key: {tmp_path}/pair.pem{asked}}}, "
    served = await serve_gateway(f"listen: {{{tls}port: 0}}")
    expected = (
        f"listen.port: warning: port {served.port} is taken by a gateway that runs, as before its restart"
    )
    for settings in {tls, ""}:
        found = await asyncio.to_thread(problems, tmp_path, f"{settings}port: {served.port}")
        assert found == [expected]


@pytest.mark.parametrize(("host", "fact"), [("203.0.113.7", "cannot assign"), ("no.such.host.invalid", "")])
def test_a_host_that_cannot_be_had(tmp_path: Path, host: str, fact: str) -> None:
    """An address of another machine, and a name of none, are told at the host."""
    (line,) = problems(tmp_path, f"host: {host}, port: 0")
    assert line.startswith(f"listen.host: address cannot be had: '{host}', {fact}")


def test_unix_domain_sockets(tmp_path: Path) -> None:
    """A path is judged as a start would, and nothing is made or removed there."""
    assert problems(tmp_path, "unix: free.sock") == []
    assert problems(tmp_path, "unix: none/free.sock") == ["listen.unix: folder of the socket not found"]
    (tmp_path / "file").touch()
    assert problems(tmp_path, "unix: file") == ["listen.unix: a file that is no socket is there"]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "dead.sock"))
        assert problems(tmp_path, "unix: dead.sock") == []
        assert (tmp_path / "dead.sock").exists()
        server.listen()

        def hang_up() -> None:
            server.accept()[0].close()

        answer = threading.Thread(target=hang_up)
        answer.start()
        assert problems(tmp_path, "unix: dead.sock") == ["listen.unix: socket taken by another program"]
        answer.join()


@pytest.mark.parametrize(
    ("hosts", "collide"),
    [
        (("0.0.0.0", "127.0.0.1"), True),
        (("127.0.0.1", "0.0.0.0"), True),
        (("localhost", "127.0.0.1"), True),
        (("::", "127.0.0.1"), True),
        (("127.0.0.2", "127.0.0.1"), False),
        (("::1", "0.0.0.0"), False),
    ],
)
def test_two_hosts_of_one_address(tmp_path: Path, hosts: tuple[str, str], collide: bool) -> None:
    """Where both listeners come to one address the second cannot be had, whatever its host is called."""
    with socket.create_server(("127.0.0.3", 0)) as found:
        port = found.getsockname()[1]
    file = tmp_path / "gateway.yaml"
    text = "{{listen: {{port: {port}, host: '{hosts[0]}'}}, admin: {{port: {port}, host: '{hosts[1]}'}}}}"
    file.write_text(text.format(port=port, hosts=hosts))
    fact = f"admin.port: port is that of listen: {port}"
    problems = [str(one).partition(": ")[2] for one in check_address(load_config(file, {}), {})]
    assert problems == ([fact] if collide else [])
    # Port 0 is another one each time.
    file.write_text(text.format(port=0, hosts=hosts))
    assert list(check_address(load_config(file, {}), {})) == []


def test_the_operators_port(tmp_path: Path, taken: int) -> None:
    """It is judged as well, also where systemd holds the other one."""
    file = tmp_path / "gateway.yaml"
    file.write_text(f"{{listen: {{port: 0}}, admin: {{port: {taken}}}}}")
    for environ in ({}, {"LISTEN_FDS": "1"}):
        (found,) = check_address(load_config(file, {}), environ)
        assert (found.path, found.message) == (
            ("admin", "port"),
            f"port taken by another program: {taken}",
        )
