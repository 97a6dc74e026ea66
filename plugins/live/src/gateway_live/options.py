"""What gateway.yaml may say about the handler and about the page."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway import Options

__all__ = ["LiveOptions", "NotesOptions", "PageOptions", "Source", "UrlPath"]

UrlPath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]*$", max_length=200)]
"""An absolute path of plain characters, without parameters."""

Source = Annotated[str, Field(pattern=r"^wss?://(\*\.)?[A-Za-z0-9.-]+(:([0-9]{1,5}|\*))?$")]
"""An origin of WebSockets, as a Content-Security-Policy writes it."""

GroupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
"""A group that a page may name."""


class LiveOptions(Options):
    """Options of the handler `live`, under a route."""

    interval_seconds: float = Field(
        default=1.0,
        ge=0.1,
        le=3600,
        description="From one sample to the next, in seconds. A process samples once for all its routes, "
        "so the shortest interval of them holds for all.",
    )
    group: GroupName = Field(
        default="live", description="The group that each connection joins, and that a push to all reaches."
    )
    history_samples: int = Field(
        default=60, ge=0, le=3600, description="How many recent samples a connection gets when it opens."
    )
    allow_push: bool = Field(
        default=False,
        description="Whether clients may push texts to each other. Whoever may connect then reaches all.",
    )
    max_text_bytes: int = Field(
        default=2048, ge=1, le=65536, description="The longest text a client may push, in bytes of UTF-8."
    )


class NotesOptions(Options):
    """Options of the handler `notes`, under a route."""

    group: GroupName = Field(
        default="notes",
        description="The group that notes are published to: one with history, that the route joins.",
    )
    max_text_bytes: int = Field(
        default=500, ge=1, le=4096, description="The longest note a client may publish, in bytes of UTF-8."
    )


class PageOptions(Options):
    """Options of the plugin, under `plugins: live: options`: where the pages and the figures are served."""

    page_path: UrlPath | None = Field(
        default="/", description="The path of the page; `null` serves it nowhere."
    )
    figures_path: UrlPath = Field(
        default="/live/figures.json",
        description="The path of the newest sample as JSON, for clients that poll.",
    )
    assets_path: UrlPath = Field(
        default="/live/assets",
        description="The folder of the pages' scripts and styles, served where there is a page.",
    )
    socket_path: UrlPath = Field(
        default="/live", description="The path of the route with the handler `live` that the page opens."
    )
    console_path: UrlPath = Field(
        default="/echo", description="The path that the page's console proposes to open."
    )
    console_sources: tuple[Source, ...] = Field(
        default=(),
        description="Other gateways that the page's console may reach, such as `wss://gateway.example.com`. "
        "The page's Content-Security-Policy allows its own origin and these, nothing else.",
    )
    notes_path: UrlPath | None = Field(
        default=None,
        description="The path of the page of notes, which shows to anybody what `notes_group` keeps; "
        "`null` serves it nowhere.",
    )
    notes_socket_path: UrlPath = Field(
        default="/live/notes/ws",
        description="The path of the route with the handler `notes` that the page of notes opens.",
    )
    notes_group: GroupName = Field(
        default="notes", description="The group, with history, that the page of notes shows."
    )
