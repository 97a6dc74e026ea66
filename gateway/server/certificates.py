"""The listener's certificates: which is shown to whom, and how they change with their files."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config.certificates import (
    CertificateFault,
    owners_of_names,
    read_authorities,
    read_certificate,
    show_time,
)
from gateway.server.certificate_ends import CertificateEnds
from gateway.server.tls import LatestContext, make_tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.config.certificates import Certificate
    from gateway.config.models import CertificateFiles, TlsConfig
    from gateway.core.node import Node

__all__ = ["Certificates"]

# What tells one state of a file from another; None: there is no such file.
_Stamp = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class _Stamps:
    """The state of all files: the authorities', and each certificate's with its key's."""

    authorities: _Stamp
    pairs: tuple[tuple[_Stamp, _Stamp], ...]


@dataclass(frozen=True, slots=True)
class _Authorities:
    """The authorities of clients' certificates, in DER form, and the state that their file had."""

    der: bytes
    stamp: _Stamp


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A certificate that is in use: its context, what it says, and the state that its files had."""

    context: ssl.SSLContext
    certificate: Certificate
    stamps: tuple[_Stamp, _Stamp]


class Certificates:
    """The certificates of the listener, as fresh as their files.

    Args:
        config: The files, and what holds for them.
        node: Whose clock, log and figures count.
    """

    def __init__(self, config: TlsConfig, node: Node) -> None:
        self.context = LatestContext(ssl.PROTOCOL_TLS_SERVER)
        """What the event loop is given."""
        self._config = config
        self._node = node
        self._log = node.log.bind(logger="gateway.tls")
        self._files: tuple[CertificateFiles, ...] = (config, *config.more_certificates)
        self._loaded: list[_Loaded] = []
        self._authorities: _Authorities
        self._seen: _Stamps
        self._tried: _Stamps
        self._ends = CertificateEnds(node)

    async def start(self) -> None:
        """Load the certificates, and begin to look at their files.

        Raises:
            CertificateFault: If one does not load.
        """
        self._seen = self._tried = stamps = await asyncio.to_thread(self._look)
        self._authorities = await asyncio.to_thread(self._read_authorities, stamps.authorities)
        for files, stamp in zip(self._files, stamps.pairs, strict=True):
            self._loaded.append(await asyncio.to_thread(self._load, files, stamp, self._authorities))
        self._switch()
        self._note_ends()
        self._node.every(self._config.reload_seconds, self.refresh)

    async def refresh(self) -> None:
        """Look at the files; load what has changed, if the look before saw it so too; tell of their ends.

        Certificate and key are written one after the other: what still changes is not loaded yet.
        """
        stamps = await asyncio.to_thread(self._look)
        if stamps == self._seen and stamps != self._tried:
            self._tried = stamps
            await self._reload(stamps)
        self._seen = stamps
        self._note_ends()

    async def _reload(self, stamps: _Stamps) -> None:
        """Take what has changed and loads; keep the old one of what does not load."""
        authorities = self._authorities
        if stamps.authorities != authorities.stamp:
            try:
                authorities = await asyncio.to_thread(self._read_authorities, stamps.authorities)
            except CertificateFault as fault:
                self._failed(self._config, fault)
        loaded = list(self._loaded)
        for index, (files, stamp) in enumerate(zip(self._files, stamps.pairs, strict=True)):
            if authorities is self._authorities and loaded[index].stamps == stamp:
                continue
            try:
                loaded[index] = await asyncio.to_thread(self._load, files, stamp, authorities)
            except CertificateFault as fault:
                self._failed(files, fault)
                if authorities is not self._authorities:
                    return  # what stayed as it is would go on to trust the old authorities
        replaced, self._loaded, self._authorities = self._loaded, loaded, authorities
        self._switch()
        for files, old, new in zip(self._files, replaced, loaded, strict=True):
            if new is not old:
                ends = show_time(new.certificate.ends_at)
                self._log.info("certificate_reloaded", certificate=str(files.certificate), ends=ends)

    def _switch(self) -> None:
        """Have new TLS connections use what is loaded now."""
        first, *others = (one.context for one in self._loaded)
        if others:
            owners = owners_of_names(
                [None, *(more.server_names for more in self._config.more_certificates)],
                [one.certificate.names for one in self._loaded],
            )
            first.sni_callback = _chooser({name: (None, *others)[index] for name, index in owners.items()})
        self.context.latest = first

    def _failed(self, files: CertificateFiles, fault: CertificateFault) -> None:
        self._node.metrics.certificate_reload_errors += 1
        file = str(getattr(files, fault.key))
        self._log.error("certificate_reload_failed", file=file, reason=fault.fact)

    def _note_ends(self) -> None:
        for files, loaded in zip(self._files, self._loaded, strict=True):
            self._ends.note(files.certificate, loaded.certificate)

    # What may wait for a disk, and so runs in a thread.

    def _look(self) -> _Stamps:
        return _Stamps(
            _stamp(self._config.client_ca),
            tuple((_stamp(files.certificate), _stamp(files.key)) for files in self._files),
        )

    def _read_authorities(self, stamp: _Stamp) -> _Authorities:
        file = self._config.client_ca
        return _Authorities(b"" if file is None else read_authorities(file), stamp)

    def _load(
        self, files: CertificateFiles, stamps: tuple[_Stamp, _Stamp], authorities: _Authorities
    ) -> _Loaded:
        certificate = read_certificate(files.certificate)
        if certificate.ends_at <= self._node.now():
            raise CertificateFault("certificate", f"{certificate.ending} has ended")
        return _Loaded(make_tls_context(self._config, files, authorities.der), certificate, stamps)


def _stamp(file: Path | None) -> _Stamp:
    try:
        # Through links it is the file at their end that counts: Kubernetes swaps the link to a folder.
        found = None if file is None else file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _chooser(
    contexts: Mapping[str, ssl.SSLContext | None],
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """Make what chooses a context by the server name (RFC 6066 section 3); None stands for the first."""

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        # An exact name goes before a wildcard, which stands for one label (RFC 9525 section 6.3).
        wildcard = f"*.{name.partition('.')[2]}"
        context = contexts.get(name if name in contexts else wildcard)
        if context is not None:
            connection.context = context

    return choose
