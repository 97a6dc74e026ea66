"""Connections, groups and handlers of one node."""
