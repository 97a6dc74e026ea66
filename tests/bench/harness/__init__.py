"""What runs the benchmark: the load client, the servers, the measures, the targets and the report."""
