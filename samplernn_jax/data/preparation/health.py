"""What may be wrong with a dataset, in words that say what to do."""

from collections.abc import Iterator, Sequence
from typing import Any

from samplernn_jax.data.preparation.settings import BuildSettings
from samplernn_jax.data.preparation.staging import Staged

_ENOUGH_S = 600
_OFFSET = 0.01
_CLIPPED = 1e-3
_FULL_BAND = 0.8
_QUIET_BANDS = 6  # below -54 dB, which 256 linear levels can hardly tell from silence


def warnings(used: Sequence[Staged], info: dict[str, Any], settings: BuildSettings) -> list[str]:
    """Sentences about what keeps a model from learning, or learning what it should.

    Args:
        used: the recordings that went in.
        info: what dataset.json says of the content.
        settings: of the dataset.
    """
    return [*_of_content(info, settings), *_of_recordings(used, settings)]


def _of_content(info: dict[str, Any], settings: BuildSettings) -> Iterator[str]:
    audio = info["audio"]
    kept_s = sum(s["num_samples"] for s in info["splits"].values()) / settings.sample_rate_hz
    if kept_s < _ENOUGH_S:
        yield (
            f"There are {kept_s / 60:.1f} minutes of audio; under about 10 a model learns them by "
            "heart or nothing at all, an hour or more is better."
        )
    if audio["silence_s"] > audio["read_s"] / 2:
        yield (
            f"{audio['silence_s'] / audio['read_s']:.0%} of the audio was silence and is left out; "
            "listen whether recordings are broken, or lower --silence_db."
        )
    quiet = sum(audio["bands"][:_QUIET_BANDS]) / sum(audio["bands"])
    if quiet > 0.5:
        yield (
            f"{quiet:.0%} of the samples that went in are nearly silent; raise --silence_db, or "
            "use --gain=loudness if one loud recording makes all others quiet."
        )
    if audio["over"] > 0:
        yield (
            f"{audio['over']:.2%} of the samples exceed full scale and were clipped; use "
            "--gain=peak."
        )


def _of_recordings(used: Sequence[Staged], settings: BuildSettings) -> Iterator[str]:
    clipped = [recording for recording in used if recording.clipped > _CLIPPED]
    if clipped:
        worst = max(clipped, key=lambda recording: recording.clipped)
        yield (
            f"{len(clipped)} of {len(used)} recordings are clipped, the worst is {worst.name} "
            f"({worst.clipped:.1%} of its samples); the model will learn the distortion."
        )
    copies = len(used) - len({recording.digest for recording in used})
    if copies:
        yield (
            f"{copies} of {len(used)} recordings are copies of others, so what is held out may "
            "also be trained on; remove them."
        )
    offset = [recording for recording in used if abs(recording.mean) > _OFFSET]
    if offset:
        done = "was removed" if settings.remove_dc else "stays in, as --noremove_dc says"
        worst = max(offset, key=lambda recording: abs(recording.mean))
        yield (
            f"{len(offset)} of {len(used)} recordings have a DC offset, the worst is {worst.name} "
            f"({worst.mean:+.3f}); it {done}."
        )
    nyquist_hz = settings.sample_rate_hz / 2
    narrow = [recording for recording in used if recording.bandwidth_hz < _FULL_BAND * nyquist_hz]
    if _seconds(narrow, settings) > _seconds(used, settings) / 2:
        highest_hz = max(recording.bandwidth_hz for recording in narrow)
        yield (
            f"{len(narrow)} of {len(used)} recordings have nothing above {highest_hz / 1000:.1f} "
            f"kHz, as if they had been upsampled; a lower --sample_rate than "
            f"{settings.sample_rate_hz} trains faster and loses nothing."
        )


def _seconds(recordings: Sequence[Staged], settings: BuildSettings) -> float:
    return sum(recording.num_samples for recording in recordings) / settings.sample_rate_hz
