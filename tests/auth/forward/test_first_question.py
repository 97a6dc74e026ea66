"""What the first question to a service costs the event loop."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

SCRIPT = dedent(
    """
    import asyncio, contextlib, socket, sys

    from gateway.auth.service import AuthService
    from gateway.config.models import ForwardWayConfig
    from gateway.protocol.refusals import Refused


    async def main():
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        service = AuthService(ForwardWayConfig.model_validate({"url": f"http://127.0.0.1:{port}/"}))
        before = set(sys.modules)
        with contextlib.suppress(Refused):
            await service.ask([])
        print(sorted(name for name in set(sys.modules) - before if name.startswith(("anyio", "httpcore"))))


    asyncio.run(main())
    """
)


def test_it_imports_nothing() -> None:
    """What its library imports late is there before: it takes a tenth of a second."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
