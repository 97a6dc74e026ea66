"""The options, as gateway.yaml gives them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway_live import LiveOptions, NotesOptions, PageOptions


def test_pushing_is_off_unless_said() -> None:
    """Clients reach each other only where the route says so."""
    assert LiveOptions().allow_push is False


@pytest.mark.parametrize(
    "options",
    [
        {"interval_seconds": 0.01},
        {"group": "$everyone"},
        {"group": ""},
        {"history_samples": -1},
        {"max_text_bytes": 0},
        {"alow_push": True},
    ],
)
def test_bad_handler_option_is_refused(options: dict[str, object]) -> None:
    """A value out of range, a reserved group or a misspelt key does not pass."""
    with pytest.raises(ValidationError):
        LiveOptions.model_validate(options)


@pytest.mark.parametrize(
    "options",
    [
        {"page_path": "live"},
        {"figures_path": "/live/<name>"},
        {"assets_path": '/"><script>'},
        {"socket_path": "/live?token=x"},
        {"notes_path": "/notes?x"},
        {"notes_socket_path": None},
        {"notes_group": "$everyone"},
        {"console_sources": ["*"]},
        {"console_sources": ["wss://a.example; script-src *"]},
    ],
)
def test_bad_page_option_is_refused(options: dict[str, object]) -> None:
    """A path is absolute and plain, and a source is a WebSocket origin."""
    with pytest.raises(ValidationError):
        PageOptions.model_validate(options)


@pytest.mark.parametrize("options", [{"group": "a b"}, {"max_text_bytes": 0}, {"max_text_bytes": 5000}])
def test_bad_option_of_notes_is_refused(options: dict[str, object]) -> None:
    """A group is a plain name, and a note is not empty and not long."""
    with pytest.raises(ValidationError):
        NotesOptions.model_validate(options)


@pytest.mark.parametrize("model", [LiveOptions, NotesOptions, PageOptions])
def test_every_option_says_what_it_means(model: type[LiveOptions | NotesOptions | PageOptions]) -> None:
    """The reference is made from the models, so no field is without a description."""
    assert all(field.description for field in model.model_fields.values())
