import itertools
from pathlib import Path

import numpy as np
import pytest

from samplernn_jax.config import DataConfig, ModelConfig
from samplernn_jax.data import legacy
from samplernn_jax.data.opening import open_dataset
from samplernn_jax.data.segments import evaluation_segments, training_segments
from samplernn_jax.evaluation.baselines import bigram_counts
from samplernn_jax.quantization import decode

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "theano" / "quantize.npz"
golden = pytest.mark.skipif(
    not GOLDEN.is_file(), reason="the golden files of the original are not on this machine"
)

RNG = np.random.default_rng(0)


def write(folder, name="music", train=None, valid=None, test=None):
    for split, clips in {"train": train, "valid": valid, "test": test}.items():
        np.save(folder / f"{name}_{split}.npy", clips)
    return folder


def noise(num_clips, num_samples):
    return RNG.normal(0, 0.1, (num_clips, num_samples)).astype(np.float16)


def open_(folder, batch_size=2, seq_len=8):
    config = DataConfig(str(folder), "legacy", batch_size=batch_size, seq_len=seq_len)
    return open_dataset(folder, config)


def open_noise(folder, num_clips=9, num_samples=21, **settings):
    clips = [noise(n, num_samples) for n in (num_clips, 2, 3)]
    return open_(write(folder, "music", *clips), **settings), clips


@golden
@pytest.mark.parametrize("kind", ["linear256", "linear64", "mu256"])
def test_the_feeders_sequences_resets_and_masks(tmp_path, kind):
    file = np.load(GOLDEN, allow_pickle=False)
    clips = file["files"]
    sequences = file[f"feed/{kind}/sequences"]
    num_segments, batch_size, _ = sequences.shape
    model = ModelConfig(
        frame_sizes=(2, 8),
        q_levels=int(kind.removeprefix("linear").removeprefix("mu")),
        q_type="linear" if kind.startswith("linear") else "mu-law",
    )
    split = open_(write(tmp_path, "Blizzard9k", clips, clips, clips), batch_size, 512).splits
    fed = evaluation_segments(split["test"], batch_size, 512, model)
    for number, (ours, expected) in enumerate(zip(fed, sequences, strict=True)):
        np.testing.assert_array_equal(ours.tokens, expected)
        assert (ours.reset[:, 0] == file[f"feed/{kind}/reset"][number]).all()
        assert not ours.reset[:, 1:].any()
        assert ours.mask.all() and file[f"feed/{kind}/mask"][number].all()
    endless = training_segments(split["train"], batch_size, 512, model, seed=5, start_step=0)
    two_epochs = np.concatenate([sequences, sequences])
    for ours, expected in zip(itertools.islice(endless, 2 * num_segments), two_epochs, strict=True):
        np.testing.assert_array_equal(ours.tokens, expected)


@golden
def test_tokens_of_whole_clips():
    file = np.load(GOLDEN, allow_pickle=False)
    for kind, levels, q_type in (
        ("linear256", 256, "linear"),
        ("linear64", 64, "linear"),
        ("mu256", 256, "mu-law"),
    ):
        for clip, expected in zip(file["files"], file[f"batch_quantize/{kind}"], strict=True):
            np.testing.assert_array_equal(
                legacy.quantize(clip.astype(np.float64), levels, q_type), expected
            )


@golden
def test_a_silent_clip_beside_others():
    file = np.load(GOLDEN, allow_pickle=False)
    for number, clip in enumerate(file["silent/files"].astype(np.float64)):
        mu_law = legacy.quantize(clip, 256, "mu-law")
        np.testing.assert_array_equal(mu_law, file["silent/mu256"][number])
        expected = file["silent/linear256"][number]
        if expected.min() < 0:  # what numpy made of no number
            with pytest.raises(ValueError, match="is silent"):
                legacy.quantize(clip, 256, "linear")
        else:
            np.testing.assert_array_equal(legacy.quantize(clip, 256, "linear"), expected)


@golden
def test_the_mu_law_curve():
    file = np.load(GOLDEN, allow_pickle=False)
    np.testing.assert_array_equal(legacy.linear_to_mu(file["linear2mu/in"]), file["linear2mu/out"])


@golden
@pytest.mark.parametrize("name", ["n8_b4", "n10_b3", "n22_b4", "n40_b2", "n64_b2"])
def test_the_order_of_batches(name):
    expected = np.load(GOLDEN, allow_pickle=False)[f"order/{name}"]
    num_files, batch_size = (int(part[1:]) for part in name.split("_"))
    assert legacy.shuffled(num_files // batch_size) == expected.tolist()


def test_tokens_of_the_mu_law():
    """Worked out by hand: floor((sign(x) log(1 + 255 |x|) / log 256 + 1) / 2 * 255)."""
    clip = np.array([-1.0, 0.0, 1.0, 0.5, -0.5, 1 / 255])
    expected = [0, 127, 255, 239, 15, 143]
    np.testing.assert_array_equal(legacy.quantize(clip, 256, "mu-law"), expected)
    np.testing.assert_array_equal(legacy.quantize(np.full(3, 0.25), 256, "mu-law"), [0, 0, 0])


def test_python_2_shuffles_like_this():
    """What Python 2.7 gave for random.seed(123); random.shuffle(x)."""
    assert legacy.shuffled(2) == [1, 0]
    assert legacy.shuffled(3) == [1, 2, 0]
    assert legacy.shuffled(5) == [2, 3, 1, 4, 0]


def test_a_clip_is_scaled_over_its_padded_length(tmp_path):
    clips = np.full((2, 6), 0.5, np.float16)
    clips[1] = np.linspace(-0.5, 0.25, 6)
    split = open_(write(tmp_path, "music", clips, clips, clips)).splits["train"]
    model = ModelConfig(frame_sizes=(2,), q_levels=16)
    assert split.lengths.tolist() == [8, 8]
    np.testing.assert_array_equal(split.tokens(0, 0, 8, model), [15] * 6 + [0] * 2)
    np.testing.assert_array_equal(split.tokens(1, 0, 8, model)[[0, 5, 6, 7]], [0, 15, 10, 10])
    assert bigram_counts(split, model).counts.sum() == 16


def test_a_batch_that_is_not_full_is_dropped_in_every_split(tmp_path):
    dataset, _ = open_noise(tmp_path, num_clips=9)
    assert {name: split.num_clips for name, split in dataset.splits.items()} == {
        "train": 8,
        "valid": 2,
        "test": 2,
    }
    order = list(dataset.splits["train"].evaluation_order())
    assert sorted(order) == list(range(8))
    assert all(second == first + 1 for first, second in zip(order[::2], order[1::2], strict=True))


def test_all_rows_reset_together(tmp_path):
    dataset, _ = open_noise(tmp_path)
    model = ModelConfig(frame_sizes=(2, 4), q_levels=16)
    endless = training_segments(dataset.splits["train"], 2, 8, model, seed=0, start_step=0)
    resets = np.stack([segment.reset.any(axis=1) for segment in itertools.islice(endless, 15)])
    np.testing.assert_array_equal(resets[:, 0], np.arange(15) % 3 == 0)
    np.testing.assert_array_equal(resets[:, 1], resets[:, 0])


def test_the_digest_tells_datasets_apart(tmp_path):
    dataset, clips = open_noise(tmp_path)
    assert open_(tmp_path).digest == dataset.digest
    clips[0][4, 0] += 1
    assert open_(write(tmp_path, "music", *clips)).digest != dataset.digest


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"must hold one file \*_train.npy .* but holds none"):
        open_(tmp_path)
    clips = noise(3, 20)
    write(tmp_path, "music", clips, clips, clips)
    with pytest.raises(
        ValueError, match=r"batch_size=4: must be at most 3, the number of clips in .*music_"
    ):
        open_(tmp_path, batch_size=4)
    np.save(tmp_path / "other_valid.npy", clips)
    with pytest.raises(ValueError, match=r"but holds music_valid\.npy, other_valid\.npy"):
        open_(tmp_path)
    (tmp_path / "other_valid.npy").unlink()
    np.save(tmp_path / "music_test.npy", clips[0])
    with pytest.raises(ValueError, match=r"holds float16 \[20\], but must hold float \[clips, sam"):
        open_(tmp_path)
    with (tmp_path / "music_test.npy").open("wb") as file:
        np.savez(file, a=clips, b=clips)
    with pytest.raises(ValueError, match=r"music_test.npy: holds several arrays, must hold one"):
        open_(tmp_path)
    (tmp_path / "music_test.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"music_test.npy: cannot be read"):
        open_(tmp_path)


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "clip 0 is silent"), (np.nan, "clip 0 holds")]
)
def test_a_clip_without_tokens_is_named(tmp_path, value, message):
    clips = np.full((2, 16), value, np.float16)
    split = open_(write(tmp_path, "music", clips, clips, clips)).splits["train"]
    with pytest.raises(ValueError, match=f"music_train.npy: {message}"):
        split.tokens(0, 0, 8, ModelConfig(frame_sizes=(2,), q_levels=16))


@golden
def test_the_mu_law_decoder_is_the_originals_to_half_a_step():
    file = np.load(GOLDEN, allow_pickle=False)
    ours = decode(file["mu2linear/in"], 256, "mu-law").astype(np.float64)
    theirs = file["mu2linear/out"].astype(np.float64)

    def companded(x):
        return np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)

    assert np.abs(companded(ours) - companded(theirs)).max() <= 0.5 / 127.5 + 1e-6
