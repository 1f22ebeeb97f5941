"""What replicas on Ray Serve cost, and what many of them would do (see README.md)."""
