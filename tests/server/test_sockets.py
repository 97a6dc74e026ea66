"""Tests of the listening sockets: TCP, alone and several on one port, and unix-domain."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.config import ListenConfig
from gateway.server import sockets
from gateway.server.sockets import bind, listen_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.server.sockets import ListeningSockets


@contextmanager
def listening(slots: int = 1, **settings: Any) -> Iterator[ListeningSockets]:
    """Listen for a block; `port` is a free one unless it is given."""
    given = settings if "unix" in settings else {"port": 0, **settings}
    opened = listen_on(ListenConfig.model_validate(given), slots)
    try:
        yield opened
    finally:
        opened.close()
        opened.remove()


def accepted(bound: socket.socket) -> int:
    """Take all that have come; give how many."""
    count = 0
    while True:
        try:
            bound.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_bind_takes_a_free_port() -> None:
    """Port 0 is a free one, and the socket listens at once."""
    with closing(bind("127.0.0.1", 0, 10)) as bound:
        address = bound.getsockname()
        assert address[1] > 0
        with closing(socket.create_connection(address)):
            pass


def test_bind_to_a_taken_port() -> None:
    """A port that is taken is an error that names its cause, and no socket stays open."""
    with closing(bind("127.0.0.1", 0, 10)) as bound:
        with pytest.raises(OSError, match="in use") as caught:
            bind("127.0.0.1", bound.getsockname()[1], 10)
        assert caught.value.errno == errno.EADDRINUSE


def test_bind_takes_a_port_again() -> None:
    """A port whose connections linger in the kernel can be had again at once."""
    with closing(bind("127.0.0.1", 0, 10)) as bound:
        address = bound.getsockname()
        client = socket.create_connection(address)
        served, _ = bound.accept()
        served.close()  # this end closes first, and waits
        client.close()
    with closing(bind(address[0], address[1], 10)):
        pass


def test_bind_to_no_address_of_this_machine() -> None:
    """An address that cannot be had is an error."""
    with pytest.raises(OSError, match="assign"):
        bind("203.0.113.1", 0, 10)


def test_bind_by_name_and_over_ipv6() -> None:
    """A host is a name or an address of either kind."""
    for host in ("localhost", "127.0.0.1", "::1"):
        with closing(bind(host, 0, 10)) as bound:
            assert bound.getsockname()[1] > 0


def test_slots_share_a_port_evenly() -> None:
    """Each slot has a socket of its own on one port, and of 400 clients a fair part."""
    with listening(2) as opened:
        assert opened.of(0) is not opened.of(1)
        clients = [socket.create_connection(("127.0.0.1", opened.port)) for _ in range(400)]
        counts = [accepted(opened.of(slot)) for slot in range(2)]
        for client in clients:
            client.close()
    assert sum(counts) == 400
    assert min(counts) >= 160, counts


def test_slots_share_one_socket_where_the_system_does_not_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sockets of one port do not share clients, there is one that all workers accept from."""
    monkeypatch.setattr(sockets, "_SPREADS", False)
    with listening(3) as opened:
        assert opened.of(0) is opened.of(1) is opened.of(2)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("others", [1, 2])
def test_another_gateway_does_not_get_a_share(slots: int, others: int) -> None:
    """A port on which a gateway listens is taken, although its workers share it among themselves."""
    with listening(slots) as opened, pytest.raises(OSError, match="in use") as caught:
        listen_on(ListenConfig(port=opened.port), others)
    assert caught.value.errno == errno.EADDRINUSE


def test_slots_over_ipv6() -> None:
    """The sockets of one port have the first one's address, of whichever kind."""
    with listening(2, host="::1") as opened:
        assert opened.of(0).getsockname() == opened.of(1).getsockname()


def test_nothing_stays_open_where_a_slot_cannot_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a later socket fails, the port is free again."""
    ports: list[int] = []

    def fail(first: socket.socket, _: int) -> socket.socket:
        ports.append(first.getsockname()[1])
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(sockets, "_bind_beside", fail)
    with pytest.raises(OSError, match="too many"):
        listen_on(ListenConfig(port=0), 2)
    with closing(bind("127.0.0.1", ports[0], 10)):
        pass


class TestUnix:
    """The unix-domain socket."""

    @pytest.mark.parametrize(("mode", "bits"), [("0660", 0o660), ("600", 0o600), ("0666", 0o666)])
    def test_its_file_has_its_mode(self, tmp_path: Path, mode: str, bits: int) -> None:
        """The file has the permissions that were asked for, whatever the process's mask; the mask stays."""
        path = tmp_path / "gateway.sock"
        former = os.umask(0o027)
        try:
            with listening(unix=path, unix_mode=mode) as opened:
                assert stat.S_IMODE(path.lstat().st_mode) == bits
                assert opened.port == 0
            assert os.umask(0o027) == 0o027
        finally:
            os.umask(former)

    def test_all_slots_have_the_one_socket(self, tmp_path: Path) -> None:
        """A path can be bound once, so that all workers accept from one socket."""
        with listening(2, unix=tmp_path / "s") as opened:
            assert opened.of(0) is opened.of(1)

    def test_its_file_is_removed(self, tmp_path: Path) -> None:
        """After the end there is no file, and a second removal does nothing."""
        path = tmp_path / "gateway.sock"
        with listening(unix=path) as opened:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            assert path.exists()
        assert not path.exists()
        opened.remove()

    def test_another_file_is_left_alone(self, tmp_path: Path) -> None:
        """What another program has put in its place meanwhile is not removed."""
        path = tmp_path / "gateway.sock"
        with listening(unix=path) as opened:
            path.unlink()
            opened.close()
            with listening(unix=path) as other:  # often with the number of the former file
                opened.remove()
                assert path.exists()
                other.close()
                path.unlink()
                path.write_text("precious")
        assert path.read_text() == "precious"

    def test_a_stale_file_is_replaced(self, tmp_path: Path) -> None:
        """The file of a program that was killed does not keep a gateway from listening."""
        path = tmp_path / "gateway.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with listening(unix=path) as opened, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            assert accepted(opened.of(0)) == 1

    def test_a_living_socket_is_refused(self, tmp_path: Path) -> None:
        """A socket on which somebody listens is taken, also while its queue is full."""
        path = tmp_path / "gateway.sock"
        with listening(unix=path, backlog=1) as opened:
            clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
            for connect in (False, True):
                for client in clients if connect else ():
                    client.setblocking(False)
                    client.connect_ex(str(path))
                with pytest.raises(OSError, match="in use") as caught:
                    listen_on(ListenConfig(unix=path))
                assert caught.value.errno == errno.EADDRINUSE
            assert clients[-1].connect_ex(str(path)) == errno.EAGAIN
            for client in clients:
                client.close()
            assert accepted(opened.of(0)) == 2

    def test_a_file_that_is_no_socket_is_refused(self, tmp_path: Path) -> None:
        """Whatever else has the name is not touched."""
        path = tmp_path / "gateway.sock"
        path.write_text("precious")
        with pytest.raises(FileExistsError, match="no socket"):
            listen_on(ListenConfig(unix=path))
        assert path.read_text() == "precious"

    def test_a_path_that_cannot_be(self, tmp_path: Path) -> None:
        """A folder that is missing, and a path that is too long, are errors."""
        for path in (tmp_path / "missing" / "s", tmp_path / ("long" * 40)):
            with pytest.raises(OSError):  # noqa: PT011 - one has a number, the other does not
                listen_on(ListenConfig(unix=path))
