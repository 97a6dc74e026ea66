"""The ends of the listener's certificates: a figure always, and a log line a day when they come near."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.certificates import show_time
from gateway.config.models.base import DAY

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.certificates import Certificate
    from gateway.core.node import Node

__all__ = ["CertificateEnds"]


class CertificateEnds:
    """What is told of when certificates end.

    Args:
        node: Whose clock, log and figures count.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._told: dict[Path, tuple[Certificate, bool, float]] = {}

    def note(self, file: Path, certificate: Certificate) -> None:
        """Set the figure; log an end that is near or past, once a day."""
        node = self._node
        node.metrics.certificate_expires_at[str(file)] = certificate.ends_at
        now, today = node.now(), node.loop.time()
        if not certificate.ends_soon(now):
            return
        ended = certificate.ends_at <= now
        told = self._told.get(file)
        if told is not None and told[:2] == (certificate, ended) and today - told[2] < DAY:
            return
        self._told[file] = (certificate, ended, today)
        fields = {
            "certificate": str(file),
            "what": certificate.ending,
            "ends": show_time(certificate.ends_at),
        }
        if ended:
            node.log.error("certificate_ended", logger="gateway.tls", **fields)
        else:
            days = int((certificate.ends_at - now) // DAY)
            node.log.warning("certificate_ends_soon", logger="gateway.tls", **fields, days=days)
