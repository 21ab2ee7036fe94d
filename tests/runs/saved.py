"""Checkpoints that the tests of this folder share, and ways to damage them."""

import json

import jax
import numpy as np

from samplernn_jax.config import TrainConfig
from samplernn_jax.devices import make_mesh, replicate, shard_rows
from samplernn_jax.runs.checkpoint import Checkpoint, Checkpoints, restore_params
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.storage import checksum
from tests.tiny_models import TINY, random_params

CONFIG = TrainConfig(keep_latest=3)


def make_checkpoint(seed, num_devices=8):
    """Other arrays for each seed: parameters on every device, a carry spread over them."""
    mesh = make_mesh(jax.devices()[:num_devices])
    rng = np.random.default_rng(seed)
    carry = shard_rows(mesh, {"tier_2": rng.normal(size=(8, 1, TINY.dim)).astype(np.float32)})
    moments = (random_params(TINY, seed + 100), {"num_updates": np.int32(seed)})
    params, moments = replicate(mesh, (random_params(TINY, seed=seed), moments))
    return Checkpoint(params, {"moments": moments, "carry": carry})


def save(path, *steps):
    with Checkpoints(Workdir(path), CONFIG) as checkpoints:
        for step in steps:
            save_and_record(checkpoints, step, float(step))


def save_and_record(checkpoints, step, valid_bits):
    checkpoints.save(step, make_checkpoint(step))
    checkpoints.record(step, valid_bits)
    checkpoints.prune()


def as_before_the_record(path, valid_bits):
    """Puts the bits of validations, infinite where there was none, into the checkpoints alone."""
    for step, bits in valid_bits.items():
        folder = path / "checkpoints" / str(step)
        (folder / "metrics").mkdir()
        (folder / "metrics" / "metrics").write_text(json.dumps({"valid_bits": bits}))
        checksum_file = folder / "checksums.json"
        checksums = json.loads(checksum_file.read_text())
        checksums["metrics/metrics"] = checksum(folder / "metrics" / "metrics")
        checksum_file.write_text(json.dumps(checksums))
    (path / "validations.json").unlink()


def params_of(path, step):
    return restore_params(Workdir(path), TINY, step)[1]


def assert_is(params, step):
    jax.tree.map(np.testing.assert_array_equal, params, random_params(TINY, seed=step))


def steps_in(path):
    return sorted(int(folder.name) for folder in Workdir(path).checkpoints.iterdir())


def the_data_of(path, step):
    """The largest file with parameters in it."""
    files = (path / "checkpoints" / str(step) / "params").glob("**/d/*")
    return max(files, key=lambda file: file.stat().st_size)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
