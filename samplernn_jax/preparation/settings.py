"""The settings of a preparation, and their rules."""

import dataclasses

from samplernn_jax.checks import require, require_not_negative, require_one_of, require_positive

GAINS = ("none", "peak", "loudness")
GAIN_SCOPES = ("dataset", "recording")
SPLITS_BY = ("auto", "recording", "clip", "given")


@dataclasses.dataclass(frozen=True)
class BuildSettings:
    """The settings of a preparation.

    Attributes:
        sample_rate_hz: the sample rate of the dataset; recordings are resampled to it.
        channel: the channel to use, 1 for the first, 2 for the second, ...; 0 for the mix of all.
        remove_dc: subtract the mean of each recording.
        gain: "peak" scales the loudest sample to 1, "loudness" scales to `loudness_lufs` without
            clipping, "none" keeps amplitudes. Short sounds far above the rest of a recording do
            not count and are clipped, see `meter.inliers`.
        gain_per: one gain for the "dataset", which keeps relative loudness, or one for each
            "recording". A few recordings far louder than the others do not set the gain of the
            dataset and have their own, see `leveling`.
        loudness_lufs: the target of gain="loudness" (ITU-R BS.1770-4).
        drop_silence: leave out audio quieter than `silence_db` at both ends of a recording, and
            inside it where it lasts longer than `max_silence_s`.
        silence_db: the level of a 20 ms window, in dB of full scale after the gain, below which it
            is silent.
        max_silence_s: the longest silence kept inside a recording, in seconds.
        clip_s: the length of a clip in seconds; the last one before silence or the end is shorter.
        clip_overlap_s: the seconds that a clip shares with the one before.
        min_clip_s: the seconds below which clips are left out.
        split_by: hold out whole recordings or single clips; "auto" for recordings if there are
            enough, "given" for the split that each recording names.
        held_out: the fraction of the audio in each of the splits valid and test.
        seed: the seed of the random choice of held-out audio.
    """

    sample_rate_hz: int = 16_000
    channel: int = 0
    remove_dc: bool = True
    gain: str = "peak"
    gain_per: str = "dataset"
    loudness_lufs: float = -23.0
    drop_silence: bool = True
    silence_db: float = -60.0
    max_silence_s: float = 1.0
    clip_s: float = 8.0
    clip_overlap_s: float = 0.0
    min_clip_s: float = 0.1
    split_by: str = "auto"
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            1000 <= self.sample_rate_hz <= 192_000,
            f"sample_rate={self.sample_rate_hz}: must be from 1000 to 192000",
        )
        require_not_negative(self, "channel", "clip_overlap_s", "min_clip_s", "seed")
        require_positive(self, "clip_s", "max_silence_s")
        require(self.clip_s <= 3600, f"clip_s={self.clip_s}: must be at most 3600")
        require(
            self.clip_overlap_s < self.clip_s,
            f"clip_overlap_s={self.clip_overlap_s}: must be less than clip_s={self.clip_s}",
        )
        require(
            self.samples(self.clip_overlap_s) < self.clip_len,
            f"clip_overlap_s={self.clip_overlap_s}: must be less than clip_s={self.clip_s} by a "
            "sample or more",
        )
        require(
            self.min_clip_s <= self.clip_s,
            f"min_clip_s={self.min_clip_s}: must be at most clip_s={self.clip_s}",
        )
        require_one_of(self, "gain", GAINS)
        require(
            self.gain != "loudness" or self.sample_rate_hz >= 8000,
            f"gain=loudness: needs sample_rate of at least 8000, not {self.sample_rate_hz}",
        )
        require_one_of(self, "gain_per", GAIN_SCOPES)
        require_one_of(self, "split_by", SPLITS_BY)
        for name, lowest in (("silence_db", -120.0), ("loudness_lufs", -70.0)):
            value = getattr(self, name)
            require(
                lowest <= value < 0, f"{name}={value}: must be at least {lowest:g}, and below 0"
            )
        require(0 < self.held_out < 0.5, f"held_out={self.held_out}: must be between 0 and 0.5")

    @property
    def clip_len(self) -> int:
        """The number of samples in a clip."""
        return max(1, self.samples(self.clip_s))

    def samples(self, seconds: float) -> int:
        """Returns a duration in samples."""
        return round(seconds * self.sample_rate_hz)
