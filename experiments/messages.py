"""What commands print to standard error."""

import re
import sys


def fail(message: str) -> int:
    """Prints an error message; returns the exit code."""
    print(f"error: {one_line(message)}", file=sys.stderr)
    return 2


def stopped() -> int:
    """Acknowledges Ctrl-C; returns the exit code."""
    print("\nStopped.", file=sys.stderr)
    return 130


def one_line(message: str) -> str:
    """Returns a message without line breaks."""
    return re.sub(r"\s+", " ", message)


def tell(line: str) -> None:
    """Prints a line to standard error."""
    print(line, file=sys.stderr, flush=True)
