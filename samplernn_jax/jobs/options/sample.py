"""Options of sampling."""

import dataclasses

from samplernn_jax import audio
from samplernn_jax.checks import require
from samplernn_jax.jobs.options.base import Options, as_text, option

SETTINGS = ("temperature", "top_k", "top_p")
"""The settings that a schedule may change over time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleOptions(Options):
    """What to generate and where to write it; each field's help describes it.

    Raises:
        ValueError: a field breaks its rule, or has no effect with the others.
    """

    workdir: str = option("Folder of the run.", is_path=True)
    output: str | None = option(
        "Folder for the audio; not with --stream.", default=None, is_path=True
    )
    num_sequences: int | None = option(
        "Number of sequences. Default: 4; 1 with --stream, where they are the channels.",
        default=None,
    )
    duration_s: float | None = option(
        "Length of each sequence in seconds. Default: 5; endless with --stream.", default=None
    )
    temperature: tuple[float, ...] = option(
        "Lower is calmer, higher is wilder; 0 always takes the likeliest value. One number, or one "
        "for each sequence: 0.9,1",
        default=(0.95,),
    )
    top_k: tuple[float, ...] | None = option(
        "Draw each sample from this number of likeliest values. One number, or one for each "
        "sequence.",
        default=None,
    )
    top_p: tuple[float, ...] | None = option(
        "Draw each sample from the likeliest values that together have this probability. One "
        "number, or one for each "
        "sequence.",
        default=None,
    )
    schedule: str | None = option(
        'JSON file with values over time, such as {"temperature": [[0, 0.8], [10, 1.1]]}: pairs of '
        "seconds and values, with straight lines in between. Also for top_k and top_p.",
        default=None,
        is_path=True,
    )
    seed: int = option("Seed of the random numbers.", default=0, least=0, most=2**31 - 1)
    step: int | None = option("Step of the checkpoint. Default: the best.", default=None)
    random_state: bool = option(
        "Begin with random RNN states instead of the learned ones.", default=False
    )
    prompt: tuple[str, ...] = option(
        "Recording to continue, in any format. May be given several times.",
        default=(),
        is_path=True,
    )
    prompt_start_s: float = option("Start of the prompt in the recording, in seconds.", default=0.0)
    prompt_duration_s: float | None = option(
        "Length of the prompt in seconds. Default: the rest of the recording.", default=None
    )
    prompt_gain: float = option(
        "Factor for the prompt's level, such as the gain of the dataset.", default=1.0
    )
    continuations: int | None = option(
        "Sequences for each prompt. Default: 1.", default=None, least=1
    )
    keep_prompt: bool = option(
        "Begin each file with its prompt, as the model heard it.", default=False
    )
    rank: bool = option("Number the files by bits per sample, the likeliest first.", default=False)
    reject: tuple[float, ...] | None = option(
        "LOW,HIGH: drop the fraction LOW of least likely and HIGH of likeliest sequences, such "
        "as 0.4,0.05.",
        default=None,
    )
    encoding: str = option(
        "Encoding of the audio; raw16 only with --stream.",
        default="wav16",
        choices=[*audio.ENCODINGS, "raw16"],
    )
    normalize: bool = option("Bring each file's peak to full scale.", default=False)
    pictures: bool = option("Draw the spectrogram of each file.", default=True)
    stream: bool = option("Write to standard output, for a player.", default=False)
    block_s: float = option("With --stream: seconds of audio written at once.", default=0.5)
    save_state: str | None = option(
        "With --stream: file to which the state is saved at the end.", default=None, is_path=True
    )
    resume_state: str | None = option(
        "With --stream: file of a saved state to go on from.", default=None, is_path=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_unless(self.stream, "needs --stream", "block_s", "save_state", "resume_state")
        self.refuse_unless(
            not self.stream,
            "does not go with --stream",
            *("output", "keep_prompt", "rank", "reject", "normalize", "pictures"),
        )
        self.refuse_unless(
            self.prompt != (),
            "needs --prompt",
            *("prompt_start_s", "prompt_duration_s", "prompt_gain", "continuations", "keep_prompt"),
        )
        self.refuse_unless(
            self.prompt == (),
            "does not go with --prompt; --continuations sets the number",
            "num_sequences",
        )
        self.refuse_unless(
            self.resume_state is None,
            "is determined by the resumed state",
            *("num_sequences", "temperature", "top_k", "top_p", "schedule", "seed", "random_state"),
            *("prompt", "block_s"),
        )
        require(self.stream or self.output is not None, "output: must be given, or --stream")
        if self.reject:
            require(
                len(self.reject) == 2,
                f"reject={as_text(self.reject)}: must be two numbers LOW,HIGH",
            )
        require(self.stream or self.encoding != "raw16", "encoding=raw16: needs --stream")
        require(
            not self.stream or self.encoding in ("wav16", "raw16"),
            f"encoding={self.encoding}: must be wav16 or raw16 with --stream",
        )

    @property
    def continuations_each(self) -> int:
        """The number of sequences for each prompt."""
        return self.continuations or 1

    @property
    def sequences(self) -> int:
        """The total number of sequences."""
        if self.num_sequences is not None:
            return self.num_sequences
        return len(self.prompt) * self.continuations_each or (1 if self.stream else 4)

    @property
    def file_duration_s(self) -> float:
        """The length of each file without its prompt, in seconds."""
        return 5.0 if self.duration_s is None else self.duration_s
