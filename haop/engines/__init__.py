"""Engines make services into a replicated cluster. They have never heard of containers or processes."""
