"""Configuration: the models of `gateway.yaml`, YAML read with its marks, and every error at once."""

from __future__ import annotations

from gateway.config.check import check_certificates
from gateway.config.load import Draft, Loaded, load_config, validate_options
from gateway.config.marks import Marks, Position
from gateway.config.models import (
    ApiConfig,
    ApiToken,
    AuthenticationConfig,
    BrokerConfig,
    ConfigModel,
    GatewayConfig,
    GroupPolicy,
    HandlerUse,
    ListenConfig,
    LogConfig,
    Overflow,
    PluginConfig,
    RouteConfig,
    RouteLimits,
    TlsConfig,
    TokenKey,
    TokenWayConfig,
)
from gateway.config.problems import ConfigError, Path, Problem, did_you_mean, in_order, render_path

__all__ = [
    "ApiConfig",
    "ApiToken",
    "AuthenticationConfig",
    "BrokerConfig",
    "ConfigError",
    "ConfigModel",
    "Draft",
    "GatewayConfig",
    "GroupPolicy",
    "HandlerUse",
    "ListenConfig",
    "Loaded",
    "LogConfig",
    "Marks",
    "Overflow",
    "Path",
    "PluginConfig",
    "Position",
    "Problem",
    "RouteConfig",
    "RouteLimits",
    "TlsConfig",
    "TokenKey",
    "TokenWayConfig",
    "check_certificates",
    "did_you_mean",
    "in_order",
    "load_config",
    "render_path",
    "validate_options",
]
