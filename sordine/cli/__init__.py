"""The command line: the application, what commands share, and one file per command."""
