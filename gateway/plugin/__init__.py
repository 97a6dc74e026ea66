"""What plugins are made of: hooks, handlers, authenticators, and the manager that finds them."""
