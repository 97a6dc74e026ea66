"""Sanic, the opening handshake, and the process that serves them."""
