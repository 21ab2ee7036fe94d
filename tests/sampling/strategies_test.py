import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.sampling.strategies import Strategy, restrict, sample_token

LOGITS = np.log([0.1, 0.2, 0.4, 0.3]).astype(np.float32)


@pytest.fixture(params=["compared", "sorted"], autouse=True)
def _both_ways(request, monkeypatch):
    """Few levels are compared in pairs, many are sorted; each test holds for both."""
    most = 512 if request.param == "compared" else 0
    monkeypatch.setattr("samplernn_jax.sampling.strategies._MAX_LEVELS_TO_COMPARE", most)


def draw(uniform, temperature=1.0, logits=LOGITS, top_k=None, top_p=None):
    uniform = jnp.asarray(uniform, jnp.float32)
    rows = jnp.broadcast_to(jnp.asarray(logits), (len(uniform), len(logits)))
    strategy = Strategy(
        *(
            None if x is None else jnp.full(len(uniform), x, jnp.float32)
            for x in (temperature, top_k, top_p)
        )
    )
    return np.asarray(sample_token(rows, uniform, strategy))


def test_inverts_the_cumulative_distribution():
    np.testing.assert_array_equal(
        draw([0.0, 0.09, 0.11, 0.29, 0.31, 0.69, 0.71, 0.99999]), [0, 0, 1, 1, 2, 2, 3, 3]
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_tempered_distribution(temperature):
    uniform = jax.random.uniform(jax.random.key(0), (40_000,))
    counts = np.bincount(draw(uniform, temperature), minlength=4) / len(uniform)
    expected = np.exp(LOGITS / temperature)
    np.testing.assert_allclose(counts, expected / expected.sum(), atol=0.01)


def test_zero_temperature_takes_the_likeliest():
    assert set(draw(np.linspace(0, 0.999, 50), 0.0)) == {2}


def test_extreme_logits_stay_in_range():
    logits = np.array([-1e9, 1e4, -1e9, -1e9], np.float32)
    assert set(draw([0.0, 0.5, 0.9999999], logits=logits)) == {1}


def test_sequences_may_have_different_strategies():
    strategy = Strategy(jnp.array([0.0, 1.0, 1.0]), jnp.array([4.0, 1.0, 4.0]))
    rows = jnp.broadcast_to(jnp.asarray(LOGITS), (3, 4))
    tokens = sample_token(rows, jnp.full(3, 0.999), strategy)
    np.testing.assert_array_equal(tokens, [2, 2, 3])


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (1, None, {2}),
        (2, None, {2, 3}),
        (3, None, {1, 2, 3}),
        (1000, None, {0, 1, 2, 3}),
        (None, 1e-9, {2}),
        (None, 0.39, {2}),
        (None, 0.41, {2, 3}),
        (None, 0.89, {1, 2, 3}),
        (None, 1.0, {0, 1, 2, 3}),
        (2, 0.56, {2}),  # of the two that are left it has 4 / 7
        (2, 0.58, {2, 3}),
    ],
)
def test_only_the_top_tokens_are_drawn(top_k, top_p, expected):
    assert set(draw(np.linspace(0, 0.9999, 500), 1.0, LOGITS, top_k, top_p)) == expected


def test_top_p_looks_at_the_tempered_distribution():
    assert set(draw(np.linspace(0, 0.9999, 500), 0.1, LOGITS, top_p=0.9)) == {2}


def test_what_stays_keeps_its_proportions():
    uniform = jax.random.uniform(jax.random.key(0), (40_000,))
    counts = np.bincount(draw(uniform, top_k=3), minlength=4) / len(uniform)
    np.testing.assert_allclose(counts, np.array([0, 2, 4, 3]) / 9, atol=0.01)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_of_equally_likely_tokens_the_first_stay(top_k):
    stays = np.isfinite(restrict(jnp.zeros((1, 5)), jnp.array([float(top_k)]), None))
    np.testing.assert_array_equal(stays[0], np.arange(5) < top_k)


def test_restrictions_that_leave_all_change_no_token():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(0, 3, (200, 64)), jnp.float32)
    uniform, one = jnp.asarray(rng.uniform(size=200), jnp.float32), jnp.ones(200)
    free = sample_token(logits, uniform, Strategy(one))
    np.testing.assert_array_equal(sample_token(logits, uniform, Strategy(one, 64 * one)), free)
    np.testing.assert_array_equal(sample_token(logits, uniform, Strategy(one, None, one)), free)


def test_top_k_and_top_p_agree_with_sorting():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (50, 100))
    top_k, top_p = rng.integers(1, 100, 50), rng.uniform(0.05, 1, 50)
    stays = np.isfinite(restrict(*(jnp.asarray(x, jnp.float32) for x in (logits, top_k, top_p))))
    for row, k, p, kept in zip(logits, top_k, top_p, stays, strict=True):
        best = np.argsort(-row)[:k]
        mass = np.cumsum(np.exp(row[best]) / np.exp(row[best]).sum())
        expected = best[: np.searchsorted(mass, p) + 1]
        np.testing.assert_array_equal(np.flatnonzero(kept), np.sort(expected))


@pytest.mark.parametrize(("top_k", "top_p"), [(7.0, None), (None, 0.6), (9.0, 0.7), (1.0, 1e-9)])
def test_sorting_leaves_what_comparing_all_pairs_leaves(top_k, top_p, monkeypatch):
    """Among logits of which many are equal, and some -inf."""
    rng = np.random.default_rng(2)
    logits = jnp.asarray(rng.integers(-6, 3, (40, 60)), jnp.float32)
    logits = jnp.where(logits == -6, -jnp.inf, logits)
    settings = [None if x is None else jnp.full(40, x) for x in (top_k, top_p)]
    results = []
    for most in (512, 0):
        monkeypatch.setattr("samplernn_jax.sampling.strategies._MAX_LEVELS_TO_COMPARE", most)
        results.append(restrict(logits, *settings))
    np.testing.assert_array_equal(*results)


def test_65536_levels_are_restricted_in_little_memory():
    rng = np.random.default_rng(3)
    logits = jnp.asarray(rng.permutation(2**16)[None] / 1000, jnp.float32)
    compiled = jax.jit(restrict).lower(logits, jnp.array([1000.0]), jnp.array([0.5])).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 64 * 2**16
    kept = np.asarray(compiled(logits, jnp.array([1000.0]), jnp.array([0.5]))[0])
    best = np.argsort(-np.asarray(logits[0]))[:1000]
    mass = np.cumsum(np.exp(logits[0][best], dtype=np.float64))
    expected = best[: np.searchsorted(mass / mass[-1], 0.5) + 1]
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(kept)), np.sort(expected))
