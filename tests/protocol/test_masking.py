from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets import speedups

from gateway.protocol import masking


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(min_size=4, max_size=4))
def test_mask_is_the_xor_of_the_rfc(data: bytes, mask: bytes) -> None:
    """Byte i of the payload meets byte i modulo 4 of the key (RFC 6455 section 5.3), both ways."""
    masked = masking.apply_mask(data, mask)
    assert masked == bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    assert masking.apply_mask(masked, mask) == data


def test_mask_is_compiled() -> None:
    """Where the compiled one can be loaded, it is the one in use."""
    assert masking.apply_mask is speedups.apply_mask
