"""The numbers of the original (Theano) implementation, where its golden files are at hand.

Of every model's file that is there: outputs, states, gradients, updates, generation. What the
tiers hand down (inter/*) shows in the logits; tests/data/legacy_test.py has the feeder's file.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import samplernn_jax as srnn
from samplernn_jax.config import ModelConfig, OptimizerConfig, WaveNetConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import make_mesh, map_step
from samplernn_jax.interop import theano
from samplernn_jax.models.interface import architecture, init_params, initial_carry
from samplernn_jax.quantization import encode
from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sampling.engines.scan import decode
from samplernn_jax.training.step import init_state, make_train_step
from tests.tiny_models import apply

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "theano"
MODELS = [path for path in sorted(GOLDEN.glob("*tier*.npz")) if not path.stem.startswith("init")]
MODELS += sorted(GOLDEN.glob("wavenet*.npz"))
UPDATED = [
    path if path.stem == "3tier_gru1" else pytest.param(path, marks=pytest.mark.slow)
    for path in MODELS
]

pytestmark = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the golden files of the original are not on this machine"
)

STATES = {
    "one_tier": {"tier_1": "h0"},
    "two_tier": {"tier_2": "h0"},
    "three_tier": {"tier_3": "big_h0", "tier_2": "h0"},
    "wavent": {},
}


class Golden:
    """A file of a model, and the parameters in it as ours."""

    def __init__(self, path):
        with np.load(path, allow_pickle=False) as file:
            self.file = dict(file)
        self.has_independent_preds = "ip_cost" in self.file
        self.config, self.params = self.load("param/")
        self.states = STATES[self.meta("model")]
        self.sequences = self.file["sequences"]
        self.targets = jnp.asarray(self.sequences[:, :, self.config.overlap :])
        self.mask = jnp.asarray(self.file["mask"][:, :, self.config.overlap :])

    def __getitem__(self, name):
        return self.file[name]

    def meta(self, name):
        return self.file[f"meta/{name}"].item()

    def load(self, kind):
        """Ours for `kind` + NAME; zeros where there is no such NAME, as for an untrained h0."""
        arrays = {
            name.removeprefix("param/"): np.zeros_like(array)
            for name, array in self.file.items()
            if name.startswith("param/")
        }
        arrays.update(
            {
                name.removeprefix(kind): array
                for name, array in self.file.items()
                if name.startswith(kind)
            }
        )
        # h0 is not zero here even if it is not trained.
        learn_h0 = self.meta("learn_h0") if "meta/learn_h0" in self.file else None
        return theano.load(arrays, self.meta("q_type"), self.has_independent_preds, learn_h0)

    def carry(self, kind, number=...):
        return {tier: self.file[kind.format(name)][number] for tier, name in self.states.items()}


@pytest.fixture(params=MODELS, ids=lambda path: path.stem, scope="module")
def golden(request):
    return Golden(request.param)


def assert_states(carry, expected):
    for tier, state in expected.items():
        np.testing.assert_allclose(carry[tier], state, atol=1e-5)


def assert_trees(ours, theirs, tolerance):
    """Leaf by leaf, with a tolerance from the largest entry of the leaf."""
    ours, theirs = flatten_dict(ours), flatten_dict(theirs)
    assert ours.keys() == theirs.keys()
    for path, expected in theirs.items():
        np.testing.assert_allclose(
            ours[path], expected, rtol=0, atol=tolerance(np.abs(expected).max()), err_msg=str(path)
        )


def test_the_configuration_is_inferred(golden):
    common = {"dim": golden.meta("dim"), "q_levels": golden.meta("q_levels")}
    if isinstance(golden.config, WaveNetConfig):
        assert golden.config == WaveNetConfig(
            num_blocks=golden.meta("wavenet_blocks"),
            layers_per_block=golden.meta("dilation_layers_per_block"),
            output_activation="none",
            **common,
        )
    else:
        sizes = {
            "one_tier": (),
            "two_tier": ("frame_size",),
            "three_tier": ("frame_size", "big_frame_size"),
        }[golden.meta("model")]
        assert golden.config == ModelConfig(
            frame_sizes=tuple(map(golden.meta, sizes)),
            n_rnn=golden.meta("n_rnn"),
            rnn_type=golden.meta("rnn_type").lower(),
            skip_conn=golden.meta("skip_conn"),
            learn_h0=golden.meta("learn_h0"),
            weight_norm=golden.meta("weight_norm"),
            emb_size=golden.meta("emb_size"),
            q_type=golden.meta("q_type"),
            independent_preds=golden.has_independent_preds,
            **common,
        )
    assert golden.config.overlap == golden.meta("overlap")
    assert golden.config.q_zero == golden.meta("q_zero")


def test_logits_costs_and_states_over_three_segments(golden):
    carry = initial_carry(golden.config, golden.params, golden.meta("batch_size"))
    for number, sequences in enumerate(golden.sequences):
        reset = np.full(len(sequences), bool(golden["reset"][number]))
        logits, carry = apply(golden.config, golden.params, sequences, carry, reset)
        bits = srnn.bits_per_sample(logits, golden.targets[number], golden.mask[number])
        assert bits == pytest.approx(golden["cost"][number], rel=1e-5)
        assert_states(carry, golden.carry("new_{}", number))
        if number == 0:
            scale = max(1.0, np.abs(golden["logits"]).max() / 10)
            np.testing.assert_allclose(logits, golden["logits"], atol=1e-4 * scale)


def test_incoming_states_with_and_without_reset(golden):
    if not golden.states:
        pytest.skip("WaveNet has no states")
    sequences, carry = golden.sequences[0], golden.carry("extra/{}_in")
    for reset in (0, 1):
        rows = np.full(len(sequences), bool(reset))
        logits, new_carry = apply(golden.config, golden.params, sequences, carry, rows)
        bits = srnn.bits_per_sample(logits, golden.targets[0], golden.mask[0])
        assert bits == pytest.approx(golden[f"extra/cost_reset{reset}"], rel=1e-5)
        assert_states(new_carry, golden.carry(f"extra/new_{{}}_reset{reset}"))


def test_gradients_of_the_cost(golden):
    def cost(params):
        logits, _ = apply(golden.config, params, golden.sequences[0])
        return srnn.bits_per_sample(logits, golden.targets[0], golden.mask[0])

    grads = jax.jit(jax.grad(cost))(golden.params)
    assert_trees(grads, golden.load("grad/")[1], lambda largest: 1e-4 * largest)


def test_independent_predictions_and_their_gradients(golden):
    if not golden.has_independent_preds:
        pytest.skip("only three_tier.py has them")
    model, carry = architecture(golden.config), None

    @jax.jit
    def predict(params, sequences, carry):
        predictions = model.apply(params, sequences, carry)
        return predictions.independent, predictions.carry

    for number, sequences in enumerate(golden.sequences):
        logits, carry = predict(golden.params, sequences, carry)
        bits = srnn.bits_per_sample(logits, golden.targets[number], golden.mask[number])
        assert bits == pytest.approx(golden["ip_cost"][number], rel=1e-5)
        if number == 0:
            np.testing.assert_allclose(logits, golden["inter/ip_logits"], atol=1e-4)

    def cost(params):
        logits, _ = predict(params, golden.sequences[0], None)
        return srnn.bits_per_sample(logits, golden.targets[0], golden.mask[0])

    grads = jax.jit(jax.grad(cost))(golden.params)
    # The file has the gradients of BigFrameLevel alone; the other tiers get none.
    assert_trees(grads, golden.load("ip_grad/")[1], lambda largest: 1e-4 * largest)


@pytest.mark.parametrize("golden", UPDATED, ids=lambda path: path.stem, indirect=True)
def test_three_updates(golden):
    optimizer = OptimizerConfig(learning_rate=golden.meta("learning_rate"))
    state = init_state(optimizer, golden.params)
    carry = initial_carry(golden.config, golden.params, golden.meta("batch_size"))
    mesh = make_mesh(jax.devices()[:1])
    step = map_step(make_train_step(golden.config, optimizer), mesh, "shard_map", donate=())
    for number, sequences in enumerate(golden.sequences):
        reset = np.full(len(sequences), bool(golden["reset"][number]))
        segment = Segment(sequences, np.asarray(golden.mask[number]) > 0, reset)
        (state, metrics), carry = step(state, carry, segment)
        assert metrics["bits"] == pytest.approx(golden["cost_after_train"][number], rel=1e-5)
        if number == 0:
            assert_trees(state.params, golden.load("trained1/")[1], lambda _: 2e-5)
    assert_trees(state.params, golden.load("trained/")[1], lambda _: 2e-5)
    assert_states(carry, golden.carry("train_final_{}"))


def test_the_sampler_computes_the_originals_logits(golden):
    config, samples = golden.config, golden["gen/samples"]
    first = config.overlap
    assert first == golden["gen/start"]
    num_samples = (samples.shape[1] - first) // config.top_frame_size * config.top_frame_size
    forced = samples[:, first : first + num_samples]

    @jax.jit
    def run(folded, context, forced):
        state = first_state(config, golden.params, context, jnp.zeros(len(context)))
        return decode(config, folded, state, forced, choose=lambda logits, token: (token, logits))

    _, _, logits = run(architecture(config).fold(golden.params), samples[:, :first], forced)
    expected = golden["gen/logits"][:, first : first + num_samples]
    scale = max(1.0, np.abs(expected).max() / 10)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * scale)


def test_at_temperature_0_it_generates_the_originals_samples(golden):
    config, samples = golden.config, golden["gen/greedy_samples"][:, golden.config.overlap :]
    generator = srnn.Generator(config, golden.params, sample_rate_hz=16_000)
    audio = generator.generate(
        jax.random.key(0), len(samples), samples.shape[1] / 16_000, temperature=0.0
    )
    np.testing.assert_array_equal(encode(audio, config.q_levels, config.q_type), samples)


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(GOLDEN.glob("init_*.npz"))] or ["none"]
)
def test_initial_parameters_have_the_originals_distributions(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        arrays = {k.removeprefix("init/"): v for k, v in file.items() if k.startswith("init/")}
    config, theirs = theano.load(arrays, independent_preds="3tier" in name)
    ours, theirs = flatten_dict(init_params(config, jax.random.key(0))), flatten_dict(theirs)
    for path, expected in theirs.items():
        assert_same_distribution(ours[path], expected, path)


def test_the_initial_spread_is_the_originals(golden):
    """The model files hold the spread that their parameters had before they were randomised."""
    ours = flatten_dict(init_params(golden.config, jax.random.key(0)))
    if isinstance(golden.config, WaveNetConfig):
        names = {("block_2_layer_2", "dilated", "kernel"): "block_2.dilation_2.W"}
        names |= {("block_1_layer_1", "dilated", "kernel"): "block_1.dilation_1.W"}
        names |= {("block_1_layer_3", "mix", "kernel"): "block_1.dilation_3.W1x1"}
        names |= {("hidden_1", "kernel"): "out_1.W", ("output", "kernel"): "final.W"}
        assert ours["block_1_layer_1", "skip_scale"] == 1
    else:
        names = {("tier_1", "hidden_2", "kernel"): "SampleLevel.L2.W0"}
        names |= {("tier_1", "output", "kernel"): "SampleLevel.Output.W0"}
    for path, name in names.items():
        # For a uniform distribution both follow from the same bound.
        bound = golden[f"init_absmax/{name}"]
        few = 8 / ours[path].size
        assert np.abs(ours[path]).max() == pytest.approx(bound, rel=0.05 + few)
        std = golden[f"init_std/{name}"]
        assert ours[path].std() == pytest.approx(std, rel=4 / np.sqrt(ours[path].size))


def assert_same_distribution(ours, theirs, path):
    theirs = np.asarray(theirs, np.float64)
    if len(np.unique(theirs)) <= 2 or path[-1] == "bias":  # constants, such as an LSTM's bias
        np.testing.assert_array_equal(ours, theirs)
        return
    spread = 5 / np.sqrt(2 * theirs.size)
    assert ours.std() == pytest.approx(theirs.std(), rel=spread, abs=1e-5), path
    assert abs(ours.mean() - theirs.mean()) < 5 * theirs.std() / np.sqrt(theirs.size / 2) + 1e-5, (
        path
    )
    if path[-1] == "kernel" and theirs.shape[0] == theirs.shape[1]:
        product = np.asarray(ours @ ours.T)
        is_orthogonal = np.allclose(theirs @ theirs.T, np.eye(len(theirs)), atol=1e-4)
        assert np.allclose(product, np.eye(len(theirs)), atol=1e-4) == is_orthogonal, path


def test_the_pickle_is_the_parameters_of_the_3_tier_file():
    config, params = theano.load(GOLDEN / "theano_params_3tier.pkl", independent_preds=True)
    golden = Golden(GOLDEN / "3tier_gru1.npz")
    assert config == golden.config
    jax.tree.map(np.testing.assert_array_equal, params, golden.params)
