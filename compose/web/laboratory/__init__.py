"""The project: settings, pages, servers."""
