"""Measures a trained model: bits per sample on a split, or of any audio.

    python -m experiments.evaluate --workdir=runs/demo --split=test
    python -m experiments.evaluate --workdir=runs/demo --audio=a.wav --audio=b.flac

Uses the best checkpoint, or the one of --step. The last line is one JSON object: the model's bits
per sample over every sample of the split, the same for any batch size and device count, and the
bits per sample of two baselines fitted on the training split, a histogram and a bigram table. All
three cover the whole split. A run with train.valid_s > 0 validates on a part of valid only; its
lines and its learning curve show the bits and baselines of that part. For audio files, the JSON
object says how likely each file is, as a whole and second by second.
"""

import json
from collections.abc import Sequence

from experiments import cli
from experiments.messages import tell
from samplernn_jax.jobs.options.evaluate import EvaluateOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluates and prints the JSON object; returns the exit code."""
    return cli.main(argv, __doc__, cli.options(EvaluateOptions), _evaluate, together=True)


def _evaluate(options: EvaluateOptions) -> None:
    from samplernn_jax.jobs import evaluate
    from samplernn_jax.processes import is_first_process

    def tell_once(line: str) -> None:
        if is_first_process():
            tell(line)

    if options.audio:
        scored = evaluate.score_audio(options, tell_once)
        if is_first_process():
            for file in scored["files"]:
                print(f"{file['file']}: {file['bits_per_sample']:.3f} bits per sample")
            print(json.dumps(scored))
        return
    result = evaluate.evaluate_split(options, tell_once)
    if result is not None:
        print(
            f"{result['bits_per_sample']:.3f} bits per sample on {result['split']} "
            f"(histogram {result['histogram_bits']:.3f}, bigram {result['bigram_bits']:.3f})"
        )
        print(json.dumps(result))


if __name__ == "__main__":
    cli.run(main)
