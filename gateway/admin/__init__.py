"""HTTP for programs and operators: the API and the health checks."""
