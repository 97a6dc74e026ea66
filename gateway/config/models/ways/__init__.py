"""The settings of the built-in ways to prove an identity: one file a way."""
