import pytest

from samplernn_jax.benchmarks import data
from samplernn_jax.data.dataset import Dataset, damaged_files
from tests.tiny_models import TINY


def test_a_dataset_of_the_wanted_size_is_made_and_read(tmp_path):
    data.make_dataset(tmp_path / "d", hours=0.01)
    splits = Dataset.open(tmp_path / "d").splits
    assert sum(split.num_samples for split in splits.values()) == pytest.approx(576_000, rel=0.2)
    assert damaged_files(tmp_path / "d") == []
    measured = data.measure(tmp_path / "d", 2, 64, TINY, seconds=0.05)
    assert measured["hours"] == pytest.approx(0.01, rel=0.2)
    assert measured["samples_per_s"] > 0
    assert 0 <= measured["padding"] < 1


def test_a_dataset_that_the_disk_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"hours=1e\+12: takes .* GiB, but only .* are free"):
        data.make_dataset(tmp_path / "d", hours=1e12)
    assert list(tmp_path.iterdir()) == []
