"""The user's view of a run: lines, metrics, the learning curve, audio and warnings."""

import math
import time
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.evaluation.baselines import baselines, bigram_counts
from samplernn_jax.models.types import Params
from samplernn_jax.plots import learning_curve
from samplernn_jax.progress import LINE_EVERY_S
from samplernn_jax.runs.metrics import Entry, MetricsWriter, read_metrics
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.output import write_sequences
from samplernn_jax.training import stopping
from samplernn_jax.training.health import audio_warnings, bits_warnings, excerpt
from samplernn_jax.units import clock_time

Report = Callable[[str], None]


class Logbook:
    """The records of a run, written and printed by the first process only."""

    def __init__(
        self,
        config: ExperimentConfig,
        workdir: Workdir,
        dataset: Dataset,
        report: Report,
        start_step: int,
        is_validated: bool,
    ) -> None:
        """Opens the metrics log.

        Args:
            config: the run's configuration.
            workdir: the workdir of the run.
            dataset: the dataset of the run.
            report: receives the lines for the user.
            start_step: the step after which the run goes on.
            is_validated: whether that step is validated already.
        """
        self._config, self._workdir, self._dataset = config, workdir, dataset
        self._report, self._last_step = report, stopping.last_step(config, dataset)
        counts = bigram_counts(dataset.splits["train"], config.model)
        self._baselines = baselines(counts, dataset.splits["valid"], config.model)
        self._writer = MetricsWriter(workdir, start_step, is_validated)
        self._bar = tqdm(total=self._last_step, initial=start_step, unit="step", disable=None)
        self._last_line = time.monotonic()
        report(
            "Baselines on the validation audio, in bits per sample: histogram "
            f"{self._baselines.histogram_bits:.3f}, bigram {self._baselines.bigram_bits:.3f}."
        )

    def __enter__(self) -> "Logbook":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._writer.close()

    def advance(self, steps: int) -> None:
        """Moves the progress bar."""
        self._bar.update(steps)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Records the means over the steps up to `step`."""
        self._writer.scalars(step, values)
        values_so_far = (
            f"{values.get('train_bits', math.nan):.3f} bits, "
            f"{values.get('samples_per_s', math.nan):,.0f} samples/s"
        )
        self._bar.set_postfix_str(values_so_far)
        if self._bar.disable and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._tell(f"step {step}/{self._last_step}: {values_so_far}")

    def validated(self, step: int, valid_bits: float) -> None:
        """Records a validation, draws the learning curve, and prints the state of the run."""
        self._writer.scalars(step, {"valid_bits": valid_bits})
        entries = read_metrics(self._workdir)
        learning_curve(self._workdir.learning_curve, entries, self._baselines._asdict())
        self._tell(self._describe_validation(step, valid_bits, entries))
        self._warn(bits_warnings(entries, self._baselines))

    def _describe_validation(self, step: int, valid_bits: float, entries: list[Entry]) -> str:
        latest = {name: value for entry in entries for name, value in entry.items()}
        best = min((e for e in entries if "valid_bits" in e), key=lambda e: e["valid_bits"])
        bits, speed = f"{valid_bits:.3f} bits per sample in validation", ""
        if "steps_per_s" in latest:
            left = clock_time((self._last_step - step) / latest["steps_per_s"])
            speed = f", {latest['samples_per_s']:,.0f} samples/s, {left} left"
        if "train_bits" in latest:  # missing for an imported model that is not trained yet
            bits = (
                f"{latest['train_bits']:.3f} bits per sample in training, "
                f"{valid_bits:.3f} in validation"
            )
            speed = f", gradient norm {latest['grad_norm']:.2g}{speed}"
        return (
            f"step {step}/{self._last_step}: {bits} (best {best['valid_bits']:.3f} at step "
            f"{best['step']}; histogram {self._baselines.histogram_bits:.3f}, bigram "
            f"{self._baselines.bigram_bits:.3f}){speed}"
        )

    def sample(self, step: int, params: Params) -> None:
        """Generates audio, writes it and shows it in TensorBoard.

        Args:
            step: the last step of the run so far.
            params: the parameters, on a device of this process.
        """
        sample, rate = self._config.sample, self._dataset.sample_rate_hz
        sequences = Generator(self._config.model, params, rate).generate(
            jax.random.fold_in(jax.random.key(self._config.seed), step),
            sample.num_sequences,
            sample.duration_s,
            sample.temperature,
        )
        folder = self._workdir.samples(step)
        write_sequences(folder, sequences, rate, prefix=f"temperature_{sample.temperature:g}")
        for number, waveform in enumerate(sequences):
            self._writer.audio(step, f"sample_{number}", waveform, rate)
        self._tell(f"Generated {len(sequences)} wavs and spectrograms in {folder}.")
        recordings = excerpt(self._dataset.splits["train"], self._config.model)
        self._warn(audio_warnings(np.asarray(sequences), recordings))

    def _warn(self, warnings: list[str]) -> None:
        for warning in warnings:
            self._tell(f"warning: {warning}.")

    def _tell(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._report(line)
