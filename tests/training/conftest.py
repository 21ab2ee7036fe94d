import matplotlib.figure
import pytest


@pytest.fixture(scope="package", autouse=True)
def blank_pictures():
    """Pictures stay blank, as drawing is a third of a tiny run; tests/plots_test.py draws them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(matplotlib.figure.Figure, "draw", lambda *_: None)
        yield
