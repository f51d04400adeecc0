"""Log lines, the context of each request, and metrics."""
