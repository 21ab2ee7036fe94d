"""Bits per sample on a split: every sample of every clip once, with the carry passed on."""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Split
from samplernn_jax.data.segments import evaluation_segments, prefetch
from samplernn_jax.devices import Step, map_step, rows_of_process, shard_rows
from samplernn_jax.evaluation.step import Sums, make_eval_step
from samplernn_jax.models import teacher_forcing
from samplernn_jax.models.types import Params
from samplernn_jax.progress import Progress


class Evaluation(NamedTuple):
    """The result of an evaluation, over all unmasked samples.

    Attributes:
        bits_per_sample: the bits per sample of the model's predictions.
        num_samples: the number of unmasked targets.
        mean_of_batches: the mean of the means over each batch of segments, as the original
            averages; it depends on the batch size and the segment length.
        independent_bits: bits per sample of the top tier's independent predictions; None for a
            model that has none.
    """

    bits_per_sample: float
    num_samples: int
    mean_of_batches: float
    independent_bits: float | None


def compile_eval_step(config: ExperimentConfig, mesh: Mesh) -> Step:
    """Returns the evaluation step on a mesh; only the carry is donated."""
    eval_step = make_eval_step(config.model, config.parallel.microbatches)
    return map_step(eval_step, mesh, config.parallel.map, donate=(1,))


def evaluate(
    eval_step: Step,
    config: ExperimentConfig,
    mesh: Mesh,
    params: Params,
    split: Split,
) -> Evaluation:
    """Evaluates parameters on a split, and shows the progress.

    Args:
        eval_step: from `compile_eval_step`, with the same configuration and mesh.
        config: the configuration, with the model, the batch size and the segment length.
        mesh: the devices.
        params: the parameters, on every device of the mesh.
        split: the data.
    """
    data = config.data
    rows = rows_of_process(mesh, data.batch_size)
    carry = teacher_forcing.spread_carry(config.model, params, mesh, len(rows))
    segments = evaluation_segments(split, data.batch_size, data.seq_len, config.model, rows)
    host_sums: list[Sums] = []
    with (
        contextlib.closing(prefetch(shard_rows(mesh, x) for x in segments)) as on_device,
        Progress(f"evaluating {split.name}", split.num_samples, "samples") as progress,
    ):
        sums_of_segments = (
            sums for sums, _ in teacher_forcing.run(eval_step, params, carry, on_device)
        )
        # Read once the next segment is dispatched, so that the device always has work.
        for sums, _ in itertools.pairwise(itertools.chain(sums_of_segments, [None])):
            host_sums.append(jax.device_get(sums))
            progress.advance(int(host_sums[-1]["num_targets"]))
    return _means(host_sums)


def _means(sums: Sequence[Mapping[str, Any]]) -> Evaluation:
    """Returns the means over all segments, from the sums of each."""
    num_samples = sum(int(entry["num_targets"]) for entry in sums)
    bits = sum(float(entry["total_bits"]) for entry in sums)
    independent = None
    if "independent_bits" in sums[0]:
        independent = sum(float(entry["independent_bits"]) for entry in sums) / num_samples
    of_batches = [
        float(entry["total_bits"]) / int(entry["num_targets"])
        for entry in sums
        if entry["num_targets"]
    ]
    mean_of_batches = sum(of_batches) / len(of_batches)
    return Evaluation(bits / num_samples, num_samples, mean_of_batches, independent)
