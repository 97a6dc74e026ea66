"""The bus of a Valkey Cluster, by which servers pass on to each other what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valkey.exceptions import ResponseError

from gateway.broker.link import LinkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.broker.valkey.primary import Primary

__all__ = ["Bus"]


class Bus:
    """The lines of the bus that lead to the server at which the node listens.

    Between the end of a line and the next one what is published gets lost, and no server says so. It may take
    less time than there is between two probes; but the new line has another time of birth.

    Args:
        home: The server.
    """

    def __init__(self, home: Primary) -> None:
        self._home = home
        self._born: dict[bytes, int] = {}

    async def look(self, others: Mapping[bytes, Primary]) -> None:
        """See that the lines of others, by their names, are those of their first time here.

        A server that does not know the question (Redis before 7), or takes it not from this user, is trusted.

        Raises:
            LinkError: If one is not.
        """
        names = tuple(others)  # others may come while the server is asked
        try:
            told = await self._home.ask(("CLUSTER", "LINKS"))
        except ResponseError:
            return
        lines = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in told]
        found = {line[b"node"]: line[b"create-time"] for line in lines if line[b"direction"] == b"from"}
        for name in names:
            born = found.get(name)
            if born is None and name not in self._born:
                continue  # the home itself, or one that is just being added
            if born is None or self._born.setdefault(name, born) != born:
                raise LinkError(f"{others[name].where}: its line of the bus has been interrupted")
