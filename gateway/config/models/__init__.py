"""The models of `gateway.yaml`: each key declared once, with its unit, default and description."""

from __future__ import annotations

from gateway.config.models.access import ApiConfig, ApiToken, AuthenticationConfig, TokenKey, TokenWayConfig
from gateway.config.models.base import ConfigModel
from gateway.config.models.compression import CompressionConfig
from gateway.config.models.limits import Overflow, RateAction, RouteLimits
from gateway.config.models.listen import ListenConfig, LogConfig, TlsConfig
from gateway.config.models.root import BrokerConfig, GatewayConfig, GroupPolicy, PluginConfig
from gateway.config.models.route import HandlerUse, RouteConfig

__all__ = [
    "ApiConfig",
    "ApiToken",
    "AuthenticationConfig",
    "BrokerConfig",
    "CompressionConfig",
    "ConfigModel",
    "GatewayConfig",
    "GroupPolicy",
    "HandlerUse",
    "ListenConfig",
    "LogConfig",
    "Overflow",
    "PluginConfig",
    "RateAction",
    "RouteConfig",
    "RouteLimits",
    "TlsConfig",
    "TokenKey",
    "TokenWayConfig",
]
