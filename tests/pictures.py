import contextlib

import matplotlib.figure
import pytest


@contextlib.contextmanager
def blank():
    """Here pictures stay blank, as drawing is a third of a tiny run; plots_test.py draws them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(matplotlib.figure.Figure, "draw", lambda *_: None)
        yield
