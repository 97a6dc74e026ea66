"""RFC 6455 without I/O: bytes in, events and bytes out. Nothing here knows asyncio or sockets."""
