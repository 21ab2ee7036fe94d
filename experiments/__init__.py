"""The command line: `python -m experiments.NAME`, one thin file a command."""
