"""What the API's readings look into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config.models import GroupPolicy, RouteConfig
    from gateway.core.node import Node

__all__ = ["Inside"]


@dataclass(frozen=True, slots=True)
class Inside:
    """A node, and what only its composition knows.

    Args:
        node: The node.
        routes: The entries of gateway.yaml.
        policy_of: Gives the policy of a group by its name.
        plugins: Those that are used, as the API tells them.
        disabled: Names of those that gateway.yaml switches off.
        configuration: Gives what holds in the end with its origins, secrets hidden; plain data.
    """

    node: Node
    routes: Sequence[RouteConfig]
    policy_of: Callable[[str], GroupPolicy | None]
    plugins: Sequence[Mapping[str, Any]]
    disabled: Sequence[str]
    configuration: Callable[[], Mapping[str, Any]]
