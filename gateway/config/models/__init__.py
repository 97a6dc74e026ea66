"""The models of `gateway.yaml`: each key declared once, with its unit, default and description."""

from __future__ import annotations

from gateway.config.models.access import ApiConfig, ApiToken, AuthenticationConfig, RevocationConfig
from gateway.config.models.admin import AdminConfig
from gateway.config.models.base import ConfigModel
from gateway.config.models.broker import (
    BrokerTlsConfig,
    LinkedBrokerConfig,
    MemoryBrokerConfig,
    NatsBrokerConfig,
    PluginBrokerConfig,
    ValkeyBrokerConfig,
)
from gateway.config.models.compression import CompressionConfig
from gateway.config.models.groups import GroupPolicy, HistoryConfig, ResumeConfig
from gateway.config.models.limits import Overflow, RateAction, RouteLimits
from gateway.config.models.listen import ListenConfig, LogConfig
from gateway.config.models.metrics import MetricsConfig
from gateway.config.models.plugin import BreakerConfig, PluginConfig, PluginLimits
from gateway.config.models.root import GatewayConfig
from gateway.config.models.route import HandlerUse, RouteConfig
from gateway.config.models.tls import CertificateFiles, NamedCertificate, TlsConfig
from gateway.config.models.ways.cookie import CookieWayConfig, SignedCookieConfig
from gateway.config.models.ways.forward import ForwardWayConfig
from gateway.config.models.ways.jwks import JwksConfig
from gateway.config.models.ways.jwt import JwtIssuerConfig, JwtKeyConfig, JwtWayConfig
from gateway.config.models.ways.mtls import MtlsWayConfig
from gateway.config.models.ways.ticket import TicketWayConfig
from gateway.config.models.ways.token import TokenKey, TokenWayConfig

__all__ = [
    "AdminConfig",
    "ApiConfig",
    "ApiToken",
    "AuthenticationConfig",
    "BreakerConfig",
    "BrokerTlsConfig",
    "CertificateFiles",
    "CompressionConfig",
    "ConfigModel",
    "CookieWayConfig",
    "ForwardWayConfig",
    "GatewayConfig",
    "GroupPolicy",
    "HandlerUse",
    "HistoryConfig",
    "JwksConfig",
    "JwtIssuerConfig",
    "JwtKeyConfig",
    "JwtWayConfig",
    "LinkedBrokerConfig",
    "ListenConfig",
    "LogConfig",
    "MemoryBrokerConfig",
    "MetricsConfig",
    "MtlsWayConfig",
    "NamedCertificate",
    "NatsBrokerConfig",
    "Overflow",
    "PluginBrokerConfig",
    "PluginConfig",
    "PluginLimits",
    "RateAction",
    "ResumeConfig",
    "RevocationConfig",
    "RouteConfig",
    "RouteLimits",
    "SignedCookieConfig",
    "TicketWayConfig",
    "TlsConfig",
    "TokenKey",
    "TokenWayConfig",
    "ValkeyBrokerConfig",
]
