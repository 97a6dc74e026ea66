"""The built-in ways to authenticate; they come through the same hooks as a plugin's."""
