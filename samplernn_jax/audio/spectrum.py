"""The short-time spectrum, for pictures and for the facts about recordings."""

import numpy as np
from jaxtyping import Float64

from samplernn_jax.audio.recording import Waveform


def power_spectrogram(
    waveform: Waveform, window_len: int, hop: int, fft_len: int
) -> Float64[np.ndarray, "frames bins"]:
    """Returns Hann-windowed power over time and frequency.

    Args:
        waveform: at least `window_len` samples; those after the last whole frame do not count.
        window_len: the number of samples in a frame.
        hop: the number of samples from the beginning of a frame to that of the next.
        fft_len: the number of samples to which frames are zero-padded, at least `window_len`.

    Returns:
        The squared magnitude of the fft_len // 2 + 1 frequencies from 0 to half the sample rate.
    """
    window = np.hanning(window_len + 2)[1:-1]  # without the zeros at its ends
    frames = np.lib.stride_tricks.sliding_window_view(waveform, window_len)[::hop]
    spectra = np.fft.rfft(frames * window, fft_len)
    return np.square(spectra.real) + np.square(spectra.imag)
