"""The paper's WaveNet baseline (section 3)."""
