"""The figures of a gateway process: what is watched for them, and how those of all workers come together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.admin.figures import FigureReader
from gateway.core.groups import EVERYONE, user_of
from gateway.core.watch import Watch
from gateway.observe.families import OTHER
from gateway.observe.gathered import Gathered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from gateway.app.policies import Policies
    from gateway.config import GatewayConfig
    from gateway.core.node import Node
    from gateway.core.route import Route
    from gateway.observe.gathered import Figures

__all__ = ["GroupPatterns", "ProcessFigures", "make_figures"]

_PLACEHOLDER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_USER: Final = "$user"


class GroupPatterns:
    """The patterns under which groups are counted: there are as many as in gateway.yaml.

    Args:
        policies: The policies of groups; the pattern of the one that holds goes first.
        templates: The groups of all routes, with their placeholders.
    """

    def __init__(self, policies: Policies, templates: Iterable[str]) -> None:
        self._policies = policies
        self._templates: list[tuple[str, re.Pattern[str]]] = []
        for template in dict.fromkeys(templates):
            parts = _PLACEHOLDER.split(template)
            self._templates.append(("*".join(parts), re.compile(".*".join(map(re.escape, parts)), re.DOTALL)))

    def of(self, group: str) -> str:
        """Give the pattern of a group, by its name."""
        if group.startswith("$"):
            return EVERYONE if group == EVERYONE else _USER if user_of(group) is not None else OTHER
        policy = self._policies.of(group)
        if policy is not None:
            return policy.pattern
        return next((name for name, form in self._templates if form.fullmatch(group)), OTHER)


class ProcessFigures:
    """The figures of this process.

    Args:
        node: The node.
        routes: Its routes.
        config: The whole configuration.
        under_way: Gives how many TCP connections have a request that is not decided.
    """

    def __init__(
        self, node: Node, routes: Sequence[Route], config: GatewayConfig, under_way: Callable[[], int]
    ) -> None:
        self.watch = Watch(node.loop)
        """What looks at its event loop."""
        self.watch.samplers = [
            sampler for route in routes if (sampler := route.watch(node.metrics)) is not None
        ]
        self._gathered = Gathered()
        jwt = config.authentication.jwt
        reader = FigureReader(
            node,
            routes,
            self.watch,
            max_connections=config.listen.max_connections,
            under_way=under_way,
            issuers=[each.issuer for each in jwt.issuers if each.jwks is not None] if jwt is not None else (),
        )
        self.read = reader.read
        """Give the figures of this process alone."""
        self.share: Callable[[Figures], Awaitable[Figures]] | None = None
        """Gives the figures of all workers for those of this one; `None` where there is no other."""

    def begin(self) -> None:
        """Look at the event loop and the handlers from now on."""
        self.watch.begin()

    def close(self) -> None:
        """Look no more; what was counted can still be read."""
        self.watch.close()

    async def gather(self) -> Figures:
        """Give the figures of all workers."""
        own = self.read()
        if self.share is not None:
            return await self.share(own)
        self._gathered.take(self, "0", own)
        return self._gathered.merged()


def make_figures(
    node: Node,
    routes: Sequence[Route],
    config: GatewayConfig,
    policies: Policies,
    under_way: Callable[[], int],
    share: Callable[[Figures], Awaitable[Figures]] | None,
) -> ProcessFigures | None:
    """Have a node count groups by their patterns, and make its figures.

    Args:
        node: The node.
        routes: Its routes.
        config: The whole configuration.
        policies: The policies of groups.
        under_way: Gives how many TCP connections have a request that is not decided.
        share: Gives the figures of all workers for those of this one; `None` where there is no other.

    Returns:
        The figures, not begun; `None` where `metrics: enabled` is false.
    """
    templates = [group for route in config.routes for group in route.groups]
    node.hub.pattern_of = GroupPatterns(policies, templates).of
    if not config.metrics.enabled:
        return None
    figures = ProcessFigures(node, routes, config, under_way)
    figures.share = share
    return figures
