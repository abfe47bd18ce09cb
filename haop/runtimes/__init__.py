"""Runtimes run services. They have never heard of replication."""
