"""The one short-time spectrum: of pictures, and of the facts about recordings."""

import numpy as np
from jaxtyping import Float64
from scipy.signal import ShortTimeFFT

from samplernn_jax.audio.recording import Waveform


def power_spectrogram(
    waveform: Waveform, window_len: int, hop: int, fft_len: int
) -> Float64[np.ndarray, "frames bins"]:
    """Hann-windowed power over time and frequency.

    Args:
        waveform: at least `window_len` samples; those after the last whole frame do not count.
        window_len: samples of a frame.
        hop: samples from the beginning of a frame to that of the next.
        fft_len: samples to which frames are padded with zeros, at least `window_len`.

    Returns:
        The squared magnitude of the fft_len // 2 + 1 frequencies from 0 to half the sample rate.
    """
    window = np.hanning(window_len + 2)[1:-1]  # without the zeros at its ends
    transform = ShortTimeFFT(window, hop, fs=1.0, mfft=fft_len)
    num_frames = 1 + (len(waveform) - window_len) // hop
    power = transform.spectrogram(
        waveform.astype(np.float64), p0=0, p1=num_frames, k_offset=transform.m_num_mid
    )  # the offset lets the first frame begin at the first sample instead of around it
    return power.T
