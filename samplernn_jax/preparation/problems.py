"""Problems of a dataset, in sentences that say what to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from samplernn_jax.audio import SUSPICIOUS_DB
from samplernn_jax.preparation.clips import Clip
from samplernn_jax.preparation.leveling import Leveled
from samplernn_jax.preparation.likeness import unlike
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.staging import Staged
from samplernn_jax.units import DB_PER_BIT, decibels, describe_duration

_ENOUGH_S = 600
_OFFSET = 0.01
_CLIPPED = 1e-3
_FULL_BAND = 0.8
_QUIET_BANDS = 6  # below -54 dB, which 256 linear levels can hardly tell from silence
_OUTLYING = 1.001  # more than rounding
_HIGH_GAIN_DB = 40.0


def find_problems(
    used: Sequence[Leveled],
    clips: Mapping[str, Sequence[Clip]],
    info: dict[str, Any],
    settings: BuildSettings,
) -> list[str]:
    """Returns the warnings for dataset.json, about problems that keep a model from learning.

    Args:
        used: the recordings in the dataset.
        clips: the clips of each split.
        info: the part of dataset.json that describes the content.
        settings: the settings of the dataset.
    """
    staged = [recording.staged for recording in used]
    return [
        *_of_content(info, settings),
        *_of_levels(used, info, settings),
        *_of_channels(staged, settings),
        *_of_recordings(staged, settings),
        *_of_held_out(used, clips, info),
    ]


def _of_content(info: dict[str, Any], settings: BuildSettings) -> Iterator[str]:
    audio = info["audio"]
    kept_s = sum(s["num_samples"] for s in info["splits"].values()) / settings.sample_rate_hz
    if kept_s < _ENOUGH_S:
        yield (
            f"The dataset holds {describe_duration(kept_s)} of audio; from less than about 10 "
            "minutes, a model memorises the audio or learns nothing. An hour or more is better."
        )
    if audio["silence_s"] > audio["read_s"] / 2:
        yield (
            f"{audio['silence_s'] / audio['read_s']:.0%} of the audio was silence and is left out; "
            "listen for broken recordings, or lower --silence_db."
        )
    quiet = sum(audio["bands"][:_QUIET_BANDS]) / sum(audio["bands"])
    if quiet > 0.5:
        yield (
            f"{quiet:.0%} of the samples are nearly silent; raise --silence_db, or "
            "use --gain=loudness if one loud recording makes all others quiet."
        )
    if audio["over"] > 0 and settings.gain == "none":
        yield (
            f"{audio['over']:.2%} of the samples exceed full scale and were clipped; use "
            "--gain=peak."
        )


def _of_levels(
    used: Sequence[Leveled], info: dict[str, Any], settings: BuildSettings
) -> Iterator[str]:
    clicks = [r for r in used if r.outlying_peak > _OUTLYING * r.peak]
    if clicks and settings.gain != "none":
        worst = max(clicks, key=lambda r: r.outlying_peak / r.peak)
        over = info["audio"]["over"]
        clipped = f", and {over:.4%} of the samples were clipped" if over > 0 else ""
        yield (
            f"{len(clicks)} of {len(used)} recordings have peaks far above the rest of them; "
            f"the worst is {worst.staged.name} at {worst.staged.peak_s:.2f} s "
            f"({decibels(worst.outlying_peak / worst.peak):.0f} dB above). These peaks do not set "
            f"the level{clipped}. Listen whether they are clicks of a damaged file; if not, "
            "--gain=none keeps all amplitudes as they are."
        )
    loud = [r for r in used if info["gain"] is not None and r.gain < info["gain"]]
    if loud:
        worst = min(loud, key=lambda r: r.gain)
        yield (
            f"{len(loud)} of {len(used)} recordings are much louder than all others; the worst is "
            f"{worst.staged.name} at {worst.staged.peak_s:.2f} s "
            f"({decibels(info['gain'] / worst.gain):.0f} dB above them). They are turned down "
            "more than the others, which would be quiet otherwise. Leave out recordings that do "
            "not belong to the rest."
        )
    faint = [r for r in used if decibels(r.gain) > _HIGH_GAIN_DB]
    if faint:
        worst = max(faint, key=lambda r: r.gain)
        bits = max(0.0, 16 - decibels(worst.gain) / DB_PER_BIT)
        yield (
            f"{len(faint)} of {len(used)} recordings are very quiet; the worst is "
            f"{worst.staged.name} (gain {decibels(worst.gain):.0f} dB). If it has 16 bits, its "
            f"sound uses {bits:.0f} of them, and the model will learn their rounding noise. Record "
            "it louder, or with 24 bits."
        )


def _of_channels(used: Sequence[Staged], settings: BuildSettings) -> Iterator[str]:
    cancelled = [r for r in used if r.channel != settings.channel]
    if cancelled:
        worst = cancelled[0]
        yield (
            f"{len(cancelled)} of {len(used)} recordings have channels that cancel each other when "
            f"they are mixed, such as {worst.name} (one seems to be inverted), so only "
            f"channel {worst.channel} of it is used; --channel=N uses channel N of all recordings."
        )
    partly = [r for r in used if r.channel == 0 and r.lost_db >= SUSPICIOUS_DB]
    if partly:
        worst = max(partly, key=lambda r: r.lost_db)
        yield (
            f"{len(partly)} of {len(used)} recordings have channels that partly cancel each "
            f"other; the worst is {worst.name} (its mix loses {worst.lost_db:.0f} dB). --channel=1 "
            "uses the first channel instead of the mix."
        )


def _of_recordings(used: Sequence[Staged], settings: BuildSettings) -> Iterator[str]:
    clipped = [recording for recording in used if recording.clipped > _CLIPPED]
    if clipped:
        worst = max(clipped, key=lambda recording: recording.clipped)
        yield (
            f"{len(clipped)} of {len(used)} recordings are clipped; the worst is {worst.name} "
            f"({worst.clipped:.1%} of its samples). The model will learn the distortion."
        )
    copies = len(used) - len({recording.digest for recording in used})
    if copies:
        yield (
            f"{copies} of {len(used)} recordings are copies of others, so held-out audio may "
            "also be in training; remove them."
        )
    offset = [recording for recording in used if abs(recording.mean) > _OFFSET]
    if offset:
        done = "was removed" if settings.remove_dc else "is kept, because of --noremove_dc"
        worst = max(offset, key=lambda recording: abs(recording.mean))
        yield (
            f"{len(offset)} of {len(used)} recordings have a DC offset; the worst is {worst.name} "
            f"({worst.mean:+.3f}). The offset {done}."
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


def _of_held_out(
    used: Sequence[Leveled], clips: Mapping[str, Sequence[Clip]], info: dict[str, Any]
) -> Iterator[str]:
    if info["split_by"] == "clip":
        return
    recordings = {
        name: [used[number] for number in sorted({clip.recording for clip in of_split})]
        for name, of_split in clips.items()
    }
    for split in ("valid", "test"):
        far = unlike(recordings[split], recordings["train"])
        if far:
            name, distance = far[0]
            yield (
                f"{len(far)} of {len(recordings[split])} recordings in {split} sound unlike all "
                f"training recordings; the worst is {name} ({distance:.0f} dB from the nearest in "
                "level and spectrum). So bits there say little about the rest; choose another "
                "--seed, or choose the held-out recordings yourself."
            )
