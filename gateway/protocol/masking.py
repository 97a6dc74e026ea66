"""The XOR of RFC 6455 section 5.3, in C where the interpreter could load it."""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - a platform without the compiled wheel
    from websockets.utils import apply_mask

__all__ = ["apply_mask"]
