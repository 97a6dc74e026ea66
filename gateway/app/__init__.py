"""The composition root: from gateway.yaml and the installed plugins to a gateway that serves.

Nothing is imported here: the supervisor, which serves nobody, does without most of it.
"""
