"""Checks of what the configuration refers to: certificates, their keys, and clients' authorities."""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gateway.config.certificates import (
    CertificateFault,
    covers,
    load_pair,
    owners_of_names,
    read_authorities,
    read_certificate,
    read_each,
    read_file,
    show_time,
)
from gateway.config.models import NamedCertificate
from gateway.config.models.base import DAY
from gateway.config.problems import Severity, render_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as FilePath

    from gateway.config.certificates import Certificate
    from gateway.config.load import Loaded
    from gateway.config.models import CertificateFiles, TlsConfig
    from gateway.config.problems import Path, Problem


def check_certificates(loaded: Loaded, now: float | None = None) -> tuple[Problem, ...]:
    """Load every certificate of `listen.tls` with its key, and the clients' authorities.

    Args:
        loaded: The configuration.
        now: Seconds since the epoch. Default: the clock's.

    Returns:
        What is wrong, and as warnings what soon will be; nothing without TLS.
    """
    tls = loaded.config.listen.tls
    if tls is None:
        return ()
    check = _Check(loaded, tls, time.time() if now is None else now)
    return tuple(check.problems())


def check_end(loaded: Loaded, place: Path, file: FilePath, now: float | None = None) -> Iterator[Problem]:
    """Find out whether a certificate has ended, or soon will; one that cannot be read is not judged.

    Args:
        loaded: The configuration.
        place: Where it names the file.
        file: The file.
        now: Seconds since the epoch. Default: the clock's.
    """
    with suppress(CertificateFault):
        yield from _times(loaded, place, read_certificate(file), time.time() if now is None else now)


def check_authorities(
    loaded: Loaded, place: Path, file: FilePath | None, now: float | None = None
) -> Iterator[Problem]:
    """Find out whether certificates of authorities have ended, or soon will; as `check_end`.

    It is an error where none is left that holds, and a warning where one goes.

    Args:
        loaded: The configuration.
        place: Where it names the file.
        file: The file; `None` for none.
        now: Seconds since the epoch. Default: the clock's.
    """
    with suppress(CertificateFault):
        each = [] if file is None else read_each(file)
        now = time.time() if now is None else now
        ended = [one for one in each if one.ends_at <= now]
        ending = [one for one in each if one.ends_at > now and one.ends_soon(now)]
        if len(each) == 1:
            yield from _times(loaded, place, each[0], now)
        elif ended and len(ended) == len(each):
            when = show_time(max(one.ends_at for one in each))
            yield loaded.problem(place, f"all {len(each)} certificates have ended, the last on {when}")
        else:
            for some, fact in ((ended, "ended already"), (ending, "will soon end")):
                first = min(some, key=lambda one: one.ends_at, default=None)
                if first is not None:
                    text = f"{len(some)} of {len(each)} certificates {fact}, first the {first.ending}"
                    text += f" on {show_time(first.ends_at)}"
                    yield loaded.problem(place, text, severity=Severity.WARNING)


def _times(loaded: Loaded, place: Path, certificate: Certificate, now: float) -> Iterator[Problem]:
    when = show_time(certificate.ends_at)
    if certificate.ends_at <= now:
        yield loaded.problem(place, f"{certificate.ending} has ended, on {when}")
    elif certificate.ends_soon(now):
        days = int((certificate.ends_at - now) // DAY)
        text = f"{certificate.ending} ends on {when}, in {days} {'day' if days == 1 else 'days'}"
        yield loaded.problem(place, text, severity=Severity.WARNING)
    if certificate.begins_at > now:
        text = f"certificate does not hold before {show_time(certificate.begins_at)}"
        yield loaded.problem(place, text, severity=Severity.WARNING)


class _Check:
    def __init__(self, loaded: Loaded, tls: TlsConfig, now: float) -> None:
        self._loaded = loaded
        self._tls = tls
        self._now = now

    def problems(self) -> Iterator[Problem]:
        section: Path = ("listen", "tls")
        entries = (self._tls, *self._tls.more_certificates)
        places = [section, *((*section, "more_certificates", n) for n in range(len(entries) - 1))]
        good: list[Certificate] = []
        for place, entry in zip(places, entries, strict=True):
            faults: list[CertificateFault] = []
            certificate = _read_pair(entry, faults)
            yield from self._problems_of(place, faults)
            if certificate is not None:
                good.append(certificate)
                yield from _times(self._loaded, (*place, "certificate"), certificate, self._now)
                if isinstance(entry, NamedCertificate):
                    yield from self._names(place, entry, certificate)
        if len(good) == len(entries):
            yield from self._claims(places, good)
        if self._tls.client_ca is not None:
            faults = []
            with _noting(faults):
                read_authorities(self._tls.client_ca)
            yield from self._problems_of(section, faults)
            yield from check_authorities(
                self._loaded, (*section, "client_ca"), self._tls.client_ca, self._now
            )

    def _problems_of(self, place: Path, faults: list[CertificateFault]) -> Iterator[Problem]:
        for fault in faults:
            yield self._loaded.problem((*place, fault.key), fault.fact)

    def _names(self, place: Path, entry: NamedCertificate, certificate: Certificate) -> Iterator[Problem]:
        if entry.server_names is None and not certificate.names:
            yield self._loaded.problem((*place, "certificate"), "certificate names no host, set server_names")
        for number, name in enumerate(entry.server_names or ()):
            if not covers(certificate.names, name):
                named = (*place, "server_names", number)
                text = f"certificate does not hold for the server name: {self._loaded.show(named, name)}"
                yield self._loaded.problem(named, text, severity=Severity.WARNING)

    def _claims(self, places: list[Path], certificates: list[Certificate]) -> Iterator[Problem]:
        given = [None, *(entry.server_names for entry in self._tls.more_certificates)]
        owners = owners_of_names(given, [certificate.names for certificate in certificates])
        for number, certificate in enumerate(certificates):
            for name in certificate.names if given[number] is None else ():
                owner = owners[name]
                # What server_names gives to another certificate is meant so.
                if owner != number and given[owner] is None:
                    text = (
                        f"certificate names {name!r}, for which that of {render_path(places[owner])} is shown"
                    )
                    yield self._loaded.problem(
                        (*places[number], "certificate"), text, severity=Severity.WARNING
                    )


def _read_pair(entry: CertificateFiles, faults: list[CertificateFault]) -> Certificate | None:
    """Read a certificate and load it with its key; what is wrong is noted in `faults`."""
    certificate = None
    with _noting(faults):
        certificate = read_certificate(entry.certificate)
    with _noting(faults):
        read_file("key", entry.key)
    if not faults:
        with _noting(faults):
            load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), entry.certificate, entry.key)
    return certificate


@contextmanager
def _noting(faults: list[CertificateFault]) -> Iterator[None]:
    try:
        yield
    except CertificateFault as fault:
        faults.append(fault)
