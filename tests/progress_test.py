import io
import sys

from samplernn_jax.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_after(seconds, monkeypatch, stream):
    """What is shown of ten units, of which each takes so many seconds."""
    monkeypatch.setattr(sys, "stderr", stream)
    now = iter(seconds * i for i in range(11))
    with Progress("evaluating test", 10, "samples", clock=lambda: next(now)) as progress:
        for _ in range(10):
            progress.advance(1)
    return stream.getvalue().splitlines()


def test_without_a_terminal_there_is_a_line_every_half_a_minute(monkeypatch):
    assert lines_after(20, monkeypatch, io.StringIO()) == [
        f"evaluating test: {done} of 10 samples ({done}0%), {left} left"
        for done, left in ((2, "02:40"), (4, "02:00"), (6, "01:20"), (8, "00:40"), (10, "00:00"))
    ]


def test_what_is_short_says_nothing(monkeypatch):
    assert lines_after(1, monkeypatch, io.StringIO()) == []


def test_on_a_terminal_there_is_a_bar_and_no_line(monkeypatch):
    monkeypatch.setattr("samplernn_jax.progress._BAR_AFTER_S", 0)
    shown = "".join(lines_after(60, monkeypatch, Terminal()))
    assert "evaluating test:   0%" in shown
    assert "of 10 samples" not in shown
