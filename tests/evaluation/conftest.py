import pytest

from tests import pictures


@pytest.fixture(scope="package", autouse=True)
def blank_pictures():
    with pictures.blank():
        yield
