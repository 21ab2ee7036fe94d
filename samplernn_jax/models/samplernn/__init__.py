"""SampleRNN: the tier stack (paper, section 2)."""
