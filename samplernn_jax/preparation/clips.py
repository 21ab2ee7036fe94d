"""Clips: the parts of recordings that sound, cut to length."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from samplernn_jax.preparation.leveling import Leveled
from samplernn_jax.preparation.recordings import Rejected
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.silence import sounding
from samplernn_jax.preparation.staging import OnProgress
from samplernn_jax.units import amplitude


class Clip(NamedTuple):
    """Samples [start, stop) of a recording, which is given by its number."""

    recording: int
    start: int
    stop: int


class CutRecordings(NamedTuple):
    """Recordings and the clips cut from them.

    Attributes:
        recordings: the recordings that have a clip.
        clips: the clips of each of these recordings, in order.
        rejected: the recordings without a clip, and the reasons.
        num_sounding: the number of samples of `recordings` without the silence left out.
    """

    recordings: Sequence[Leveled]
    clips: Sequence[Sequence[Clip]]
    rejected: Sequence[Rejected]
    num_sounding: int

    def audio_facts(self, settings: BuildSettings) -> dict[str, float]:
        """Returns the seconds read, of silence and of short clips, and the share of clipping.

        The share is that of the recordings themselves, before the gain.
        """
        rate = settings.sample_rate_hz
        staged = [recording.staged for recording in self.recordings]
        num_samples = sum(recording.num_samples for recording in staged)
        num_clipped = sum(recording.clipped * recording.num_samples for recording in staged)
        return {
            "read_s": num_samples / rate,
            "silence_s": (num_samples - self.num_sounding) / rate,
            "short_s": (self.num_sounding - sum(map(_num_covered, self.clips))) / rate,
            "clipped": num_clipped / num_samples,
        }


def cut_recordings(
    candidates: Sequence[Leveled], settings: BuildSettings, on_progress: OnProgress
) -> CutRecordings:
    """Finds the parts of recordings that sound, and cuts them into clips.

    Args:
        candidates: the recordings; those that give no clip are rejected.
        settings: the settings of the dataset.
        on_progress: called after each recording.
    """
    recordings: list[Leveled] = []
    clips: list[list[Clip]] = []
    rejected: list[Rejected] = []
    num_sounding = 0
    for number, recording in enumerate(candidates, start=1):
        parts = _sounding_parts(recording, settings)
        of_recording = list(cut(len(recordings), parts, settings))
        if of_recording:
            recordings.append(recording)
            clips.append(of_recording)
            num_sounding += sum(stop - start for start, stop in parts)
        else:
            reason = f"is shorter than min_clip_s={settings.min_clip_s}" if parts else "is silent"
            rejected.append(Rejected(recording.staged.name, reason))
        on_progress("looking for silence", number, len(candidates))
    return CutRecordings(recordings, clips, rejected, num_sounding)


def _sounding_parts(recording: Leveled, settings: BuildSettings) -> list[tuple[int, int]]:
    """Returns the parts of a recording that are kept, as [start, stop) in samples."""
    num_samples = recording.staged.num_samples
    if not settings.drop_silence:
        return [(0, num_samples)]
    threshold = amplitude(settings.silence_db)
    if settings.gain_per == "recording" and recording.peak < threshold * recording.gain:
        return []  # its own gain would turn it into noise
    return sounding(
        recording.read, num_samples, settings.sample_rate_hz, threshold, settings.max_silence_s
    )


def cut(
    recording: int, parts: Sequence[tuple[int, int]], settings: BuildSettings
) -> Iterator[Clip]:
    """Returns the clips of a recording's parts; the last clip of a part may be shorter."""
    hop = settings.clip_len - settings.samples(settings.clip_overlap_s)
    shortest = max(1, settings.samples(settings.min_clip_s))
    for start, stop in parts:
        for at in range(start, stop, hop):
            clip = Clip(recording, at, min(at + settings.clip_len, stop))
            if clip.stop - clip.start >= shortest:
                yield clip
            if clip.stop == stop:
                break


def _num_covered(clips: Sequence[Clip]) -> int:
    """Returns the number of samples that are in a clip, counted once where clips overlap."""
    total = end = 0
    for clip in clips:
        total += clip.stop - max(clip.start, end)
        end = clip.stop
    return total
