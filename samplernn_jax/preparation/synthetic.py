"""The synthetic corpus, which needs no download: plucked strings playing random melodies.

Strings are Karplus-Strong (Computer Music Journal 7(2), 1983): the displaced string runs around
a delay line of one period, and each round is averaged with its neighbour and damped. It starts
as a triangle, the shape of a string pulled aside, instead of the paper's noise, which cannot be
predicted and which a small model learns to repeat. Melodies wander over a pentatonic scale, so
that all of them sound good.
"""

import numpy as np

from samplernn_jax.audio import Waveform
from samplernn_jax.preparation.recordings import Found, of_waveform

SAMPLE_RATE_HZ = 8_000
MELODY_S = 4.0

_PENTATONIC = np.array([0, 2, 4, 7, 9])
_NUM_DEGREES = 8
_LOWEST_HZ = 110.0
_BEAT_S = 0.25
_DAMPING = 0.985
_PLUCKED_AT = 0.15  # of the string's length


def pluck(frequency_hz: float, duration_s: float) -> Waveform:
    """Returns the sound of a plucked string; the same pitch always sounds the same."""
    num_samples = round(duration_s * SAMPLE_RATE_HZ)
    period = round(SAMPLE_RATE_HZ / frequency_hz - 0.5)  # averaging neighbours delays by half
    at = np.arange(period) / period
    line = np.minimum(at / _PLUCKED_AT, (1 - at) / (1 - _PLUCKED_AT))
    line -= line.mean()
    rounds = []
    for _ in range(-(-num_samples // period)):
        rounds.append(line)
        line = _DAMPING * 0.5 * (line + np.roll(line, 1))
    return np.concatenate(rounds)[:num_samples].astype(np.float32)


def melody(rng: np.random.Generator) -> Waveform:
    """Returns a random walk over the scale; each note stops the one before, as on one string."""
    num_samples = round(MELODY_S * SAMPLE_RATE_HZ)
    waveform = np.zeros(num_samples, np.float32)
    degree, beat = int(rng.integers(_NUM_DEGREES)), 0
    while (start := round(beat * _BEAT_S * SAMPLE_RATE_HZ)) < num_samples:
        degree = int(np.clip(degree + rng.integers(-2, 3), 0, _NUM_DEGREES - 1))
        octave, step = divmod(degree, len(_PENTATONIC))
        frequency_hz = _LOWEST_HZ * 2.0 ** (octave + _PENTATONIC[step] / 12)
        note = rng.uniform(0.6, 0.9) * pluck(frequency_hz, MELODY_S)
        waveform[start:] = note[: num_samples - start]
        beat += int(rng.integers(1, 4))
    return waveform


def melodies(minutes: float, seed: int) -> Found:
    """Returns melodies of the given total duration; equal seeds give equal melodies."""
    return Found(
        [
            of_waveform(
                f"melody_{number:04d}",
                melody(np.random.default_rng([seed, number])),
                SAMPLE_RATE_HZ,
            )
            for number in range(max(1, round(minutes * 60 / MELODY_S)))
        ]
    )
