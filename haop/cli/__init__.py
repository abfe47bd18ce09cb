"""The command line. A command parses, calls one operation, prints."""
