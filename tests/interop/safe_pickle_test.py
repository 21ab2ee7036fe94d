import os
import pickle
import pickletools

import numpy as np
import pytest

from samplernn_jax.interop.safe_pickle import load_arrays

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "scalar": np.array(3.5, np.float32),
    "big_endian": np.arange(3, dtype=">f4"),
    "ints": np.array([1, -2], np.int64),
    "empty": np.zeros((0, 4), np.float32),
}

# As Python 2 writes {'x': numpy.array([1, 2], 'f4')} with protocol 0.
PYTHON_2 = b"""(dp1
S'x'
p2
cnumpy.core.multiarray
_reconstruct
p3
(cnumpy
ndarray
p4
(I0
tS'b'
tRp5
(I1
(I2
tcnumpy
dtype
p6
(S'f4'
I0
I1
tRp7
(I3
S'<'
NNNI-1
I-1
I0
tbI00
S'\\x00\\x00\\x80?\\x00\\x00\\x00@'
tbs."""


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(tmp_path, protocol):
    loaded = load_arrays(write(tmp_path / "p.pkl", pickle.dumps(ARRAYS, protocol)))
    assert loaded.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert loaded[name].dtype == expected.dtype
        assert loaded[name].shape == expected.shape
        np.testing.assert_array_equal(loaded[name], expected)


def test_arrays_from_python_2(tmp_path):
    assert any(op.name == "GLOBAL" for op, _, _ in pickletools.genops(PYTHON_2))
    loaded = load_arrays(write(tmp_path / "p.pkl", PYTHON_2))
    np.testing.assert_array_equal(loaded["x"], np.array([1, 2], np.float32))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Calls(os.system, "touch {marker}"), "posix.system"),
        (Calls(eval, "open('{marker}', 'w')"), "eval"),
        (Calls(np.load, "{marker}", "r", True), "numpy.*load"),
        (Calls(np.memmap, "{marker}", "f4", "w+", 0, 4), "memmap"),
        (np.dtype("O"), "type 'O8'"),
        (np.array([print, 1], object), "type 'O8'"),
        (np.zeros(2, "f4,i4"), "V8"),
        (np.zeros(2, "datetime64[s]"), "M8"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_anything_but_arrays_is_refused_by_name_and_not_run(tmp_path, value, name, protocol):
    marker = tmp_path / "marker"
    if isinstance(value, Calls):
        function, arguments = value.call
        arguments = [a.format(marker=marker) if isinstance(a, str) else a for a in arguments]
        value = Calls(function, *arguments)
    content = pickle.dumps({"x": value}, protocol)
    with pytest.raises(ValueError, match=rf"p.pkl: is not a pickled dict of arrays \(.*({name})"):
        load_arrays(write(tmp_path / "p.pkl", content))
    assert not marker.exists()


def nested(depth):
    """A tuple in a tuple in a tuple, as the key of a dict: hashing it overflows C's stack."""
    return b"}(" + b"(" * depth + b"t" * depth + b"Nu."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"cnumpy\nndarray\n}(S'array'\nS'text'\nub.", "of something that is not an array"),
        (
            b"cnumpy.core.multiarray\n_reconstruct\nN}(S'__name__'\nS'x'\nu\x86b.",
            "that is not an arr",
        ),
        (b"}(cnumpy\nndarray\nNu.", "name of an array is not text"),
        (nested(2_000_000), "name of an array is not text"),
        (b"}S'x'\ncnumpy\nndarray\ns.", "'x' is not an array"),
        (b"\x80\x04]\x94.", "\\d+"),  # a list has no business here
        (b"\x80\x02\x82\x01.", "\\d+"),  # nor have registered extensions
        (b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'U3,'\ntb.", "byte order 'U3,'"),
        (b"c\x1b[31m\nred\n.", r"'\\x1b\[31m.red'"),
    ],
)
def test_a_pickle_cannot_reach_behind_the_recorders(tmp_path, content, reason):
    with pytest.raises(ValueError, match=rf"p.pkl: is not a pickled dict of arrays \(.*{reason}"):
        load_arrays(write(tmp_path / "p.pkl", content))


def test_an_array_cannot_claim_memory_that_is_not_its_own(tmp_path):
    """Numpy would follow a forged __array_interface__."""
    address = np.zeros(2, np.float32).__array_interface__["data"][0]
    content = PYTHON_2.replace(
        b"tbs.", b"tb}S'__array_interface__'\n(dS'data'\n(I%d\nI00\ntssbs." % address
    )
    with pytest.raises(ValueError, match=r"p.pkl: is not a pickled dict of arrays"):
        load_arrays(write(tmp_path / "p.pkl", content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        PYTHON_2[:-40],
        pickle.dumps([1, 2]),
        pickle.dumps({1: np.zeros(2)}),
        pickle.dumps({"x": 3}),
        pickle.dumps({"x": Calls(np.dtype, "f4")}),
    ],
)
def test_what_is_no_dict_of_arrays_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"p.pkl: is not a pickled dict of arrays"):
        load_arrays(write(tmp_path / "p.pkl", content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OSError, match=r"missing.pkl"):
        load_arrays(tmp_path / "missing.pkl")
