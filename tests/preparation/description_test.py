from samplernn_jax.preparation import description
from samplernn_jax.preparation.facts import Facts

INFO = {"gain": 2.0}


def of(name, rms, split="train"):
    return Facts(name, [split], 2.0, rms)


def test_of_a_few_recordings_all_are_listed_and_what_stands_out_is_marked():
    entries = [*(of(f"piano{i}", 0.05 + 0.001 * i) for i in range(9)), of("jazz", 0.25)]
    head, *lines = description.loudness(INFO, entries).splitlines()
    assert "-19.3 dB of full scale (RMS) is the median" in head
    assert len(lines) == 10
    assert lines[0] == "   -20.0 dB  piano0"
    assert [line for line in lines if "stands out" in line] == [
        "    -6.0 dB  jazz  stands out by +13.2 dB"
    ]


def test_of_many_recordings_only_what_stands_out_is_listed():
    entries = [of(f"{i}", 0.05 + 0.00001 * i) for i in range(3000)]
    odd = [of(f"odd{i}", 0.001) for i in range(210)]
    lines = description.loudness(INFO, entries + odd).splitlines()
    assert len(lines) == 202
    assert all("odd" in line for line in lines[1:201])
    assert lines[-1] == "  ... and 10 more that stand out"


def test_what_was_turned_down_alone_is_marked():
    entries = [of(str(i), 0.1) for i in range(50)]
    lines = description.loudness(INFO, [*entries, Facts("loud", ["train"], 0.5, 0.4)]).splitlines()
    assert lines[51:] == ["   -14.0 dB  loud  stands out, turned down by 12.0 dB"]


def test_recordings_that_differ_by_nature_do_not_stand_out():
    levels = [0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.015, 0.03, 0.06, 0.12]
    assert "stands out" not in description.loudness(INFO, [of(str(rms), rms) for rms in levels])
    assert "-120.0 dB" in description.loudness(INFO, [of("silent", 0.0)])
