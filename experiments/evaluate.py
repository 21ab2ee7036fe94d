"""Measures a trained model: bits per sample on a split, or of any audio.

    python -m experiments.evaluate --workdir=runs/demo --split=test
    python -m experiments.evaluate --workdir=runs/demo --audio=a.wav --audio=b.flac

Takes the best checkpoint, or the one of --step. The last line is one JSON object: the model's
bits per sample over every sample of the split, the same for any batch size and device count, and
what two models without memory reach that are fitted on the training split, a histogram and a
bigram table. All three are of the whole split; a run with train.valid_s > 0 validates on a part of
valid, and has the bits and baselines of that part in its lines and its learning curve. For audio it
says how likely each file is, as a whole and second by second.
"""

import dataclasses
import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import cli, processes
from samplernn_jax import audio
from samplernn_jax.checks import require_32_bits
from samplernn_jax.config import NORMALIZATIONS, ExperimentConfig
from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.data.opening import open_dataset
from samplernn_jax.devices import check_batch_size, make_mesh, memory_of_device, replicate
from samplernn_jax.evaluation import scores
from samplernn_jax.evaluation.baselines import baselines, bigram_counts
from samplernn_jax.evaluation.validation import compile_eval_step, evaluate
from samplernn_jax.processes import is_first_process
from samplernn_jax.runs.checkpoint import restore_params
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sizes import check_evaluation
from samplernn_jax.training.plan import out_of_memory_as_sentence

_DECIMALS = 6
"""As many as do not depend on the batch size, the segment length and the devices."""

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_SPLIT = flags.DEFINE_enum("split", "test", SPLITS, "Which split.")
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to take. Default: the best.")
_DATA_PATH = flags.DEFINE_string(
    "data_path", None, "Dataset folder. Default: the one that the run was trained on."
)
_NORMALIZATION = flags.DEFINE_enum(
    "normalization", None, NORMALIZATIONS, "How to read the dataset. Default: as in training."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Rows of a batch. Default: as in training.", lower_bound=1
)
_SEQ_LEN = flags.DEFINE_integer(
    "seq_len", None, "Targets of a segment. Default: as in training.", lower_bound=1
)
_AVERAGE = flags.DEFINE_enum(
    "average",
    "samples",
    ["samples", "batches"],
    "samples: the mean over all samples. batches: the mean of the means over each batch of "
    "segments, as the original and the paper have it; it depends on batch_size and seq_len.",
)
_AUDIO = flags.DEFINE_multi_string("audio", [], "Score this file instead, once or several times.")
_AUDIO_GAIN = flags.DEFINE_float(
    "audio_gain", 1.0, "Factor for its level, such as the gain that the dataset has."
)
flags.adopt_module_key_flags(processes)


def main() -> None:
    """Evaluates and prints the JSON object."""
    processes.join()
    cli.check_paths("workdir", "data_path", "audio")
    of_split = ("split", "data_path", "normalization", "batch_size", "seq_len", "average")
    cli.refuse_unless(not _AUDIO.value, "does not go with --audio", *of_split)
    cli.refuse_unless(bool(_AUDIO.value), "needs --audio", "audio_gain")
    if _AUDIO.value:
        _score()
    else:
        _evaluate()


def _score() -> None:
    if not 0 < _AUDIO_GAIN.value < math.inf:
        raise ValueError(f"audio_gain={_AUDIO_GAIN.value}: must be greater than 0, and finite")
    require_32_bits("audio_gain", _AUDIO_GAIN.value)
    generator = Generator.from_workdir(_WORKDIR.value, _STEP.value)
    rate, files = generator.sample_rate_hz, []
    for path in _AUDIO.value:
        try:
            heard = audio.read_whole(path, rate)
        except ValueError as error:
            raise ValueError(f"audio={error}") from error
        for note in heard.notes:
            print(f"note: {path} {note}.", file=sys.stderr)
        waveform = np.float32(_AUDIO_GAIN.value) * heard.waveform
        bits = generator.score(waveform[None])
        files.append(
            {
                "file": path,
                "bits_per_sample": round(float(bits.mean()), _DECIMALS),
                "num_samples": bits.shape[1],
                "bits_over_time": [float(x) for x in scores.means_over_time(bits, rate)[0]],
            }
        )
    if is_first_process():
        print(json.dumps({"step": generator.step, "bits_over_time_every_s": 1.0, "files": files}))


def _evaluate() -> None:
    mesh = make_mesh()
    workdir = Workdir(Path(_WORKDIR.value))
    info = workdir.read_info()
    if not (info.dataset_digest or _DATA_PATH.value):
        raise ValueError(
            f"data_path='': must name a dataset, as workdir {workdir.path} holds an imported model "
            "that was not trained here"
        )
    config = _as_asked(info.config)
    check_batch_size(mesh, config.data.batch_size)
    check_evaluation(config, mesh.size, memory_of_device(mesh))
    path = Path(_DATA_PATH.value or workdir.data_path(config))
    dataset = open_dataset(path, config.data)
    if dataset.sample_rate_hz != info.sample_rate_hz:
        raise ValueError(
            f"data_path={path}: is at {dataset.sample_rate_hz} Hz, must be at the model's "
            f"{info.sample_rate_hz} Hz"
        )
    if _DATA_PATH.value is None and _NORMALIZATION.value is None:
        workdir.check_same_dataset(dataset.sample_rate_hz, dataset.digest)
    split = dataset.splits[_SPLIT.value]
    step, params = restore_params(workdir, config.model, _STEP.value)
    eval_step = compile_eval_step(config, mesh)
    with out_of_memory_as_sentence(config, mesh):
        result = evaluate(eval_step, config, mesh, replicate(mesh, jax.device_get(params)), split)
    if not is_first_process():
        return
    counts = bigram_counts(dataset.splits["train"], config.model)
    without_model = baselines(counts, split, config.model)
    values = {
        "bits_per_sample": round(
            result.bits_per_sample if _AVERAGE.value == "samples" else result.mean_of_batches,
            _DECIMALS,
        ),
        "average": _AVERAGE.value,
        "num_samples": result.num_samples,
        "split": split.name,
        "step": step,
        **without_model._asdict(),
    }
    if result.independent_bits is not None:
        values["independent_bits"] = round(result.independent_bits, _DECIMALS)
    print(json.dumps(values))


def _as_asked(config: ExperimentConfig) -> ExperimentConfig:
    data = dataclasses.replace(
        config.data,
        path=_DATA_PATH.value or config.data.path,
        batch_size=_BATCH_SIZE.value or config.data.batch_size,
        seq_len=_SEQ_LEN.value or config.data.seq_len,
        normalization=_NORMALIZATION.value or config.data.normalization,
    )
    return dataclasses.replace(config, data=data)


if __name__ == "__main__":
    cli.run(main, __doc__)
