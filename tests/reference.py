"""SampleRNN and WaveNet in float64 NumPy, written from the paper's equations, step by step.

Independent of the JAX code on purpose: loops where that scans, matmuls where that looks up.
"""

import numpy as np


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _matrix(p):
    kernel = np.asarray(p["kernel"], np.float64)
    if "scale" not in p:
        return kernel
    return np.asarray(p["scale"], np.float64) * kernel / np.sqrt((kernel**2).sum(0))


def _linear(p, x):
    y = x @ _matrix(p)
    return y + np.asarray(p["bias"], np.float64) if "bias" in p else y


def _gru(p, x, h):
    dim = len(h)
    a = _linear(p["input"], x)
    gates = _sigmoid(a[: 2 * dim] + h @ _matrix(p["recurrent_gates"]))
    u, r = gates[:dim], gates[dim:]
    c = np.tanh(a[2 * dim :] + (r * h) @ _matrix(p["recurrent_candidate"]))
    h = u * c + (1 - u) * h
    return h, h


def _lstm(p, x, state):
    dim = len(state) // 2
    s, c = state[:dim], state[dim:]
    a = _linear(p["input"], x) + np.asarray(p["bias"], np.float64)
    a = a + s @ _matrix(p["recurrent_gates"])
    i, f, o = (_sigmoid(a[k * dim : (k + 1) * dim]) for k in range(3))
    c = f * c + i * np.tanh(a[3 * dim :])
    s = o * np.tanh(c)
    return s, np.concatenate([s, c])


def _stack(config, p, x, states):
    step = {"gru": _gru, "lstm": _lstm}[config.rnn_type]
    below, outputs, new_states = x, [], []
    for n, state in enumerate(states):
        if config.skip_conn and n:
            below = np.concatenate([below, x])
        below, state = step(p[f"layer_{n + 1}"], below, state)
        outputs.append(below)
        new_states.append(state)
    if config.skip_conn:
        below = sum(_linear(p[f"skip_{n + 1}"], y) for n, y in enumerate(outputs))
    return below, new_states


def _mlp(p, x, first):
    for n in range(first, 4):
        x = np.maximum(_linear(p[f"hidden_{n}"], x), 0)
    return _linear(p["output"], x)


def _one_tier(config, p, tokens):
    table = np.asarray(p.get("embedding", np.eye(config.q_levels)), np.float64)
    states = [np.asarray(h, np.float64) for h in p["h0"]]
    logits = []
    for token in tokens[:-1]:
        y, states = _stack(config, p["rnn"], table[token], states)
        logits.append(_mlp(p, y, first=1))
    return np.stack(logits), {1: states}


def forward(config, params, tokens):
    """Logits [time, q_levels] of one sequence [overlap + time], and the states per tier."""
    if not config.frame_sizes:
        return _one_tier(config, params["tier_1"], tokens)
    sizes, overlap = config.frame_sizes, config.frame_sizes[-1]
    states = {
        tier: [np.asarray(h, np.float64) for h in params[f"tier_{tier}"]["h0"]]
        for tier in range(2, len(sizes) + 2)
    }
    conditioning = {}
    logits = []
    for t in range(overlap, len(tokens)):
        for tier in range(len(sizes) + 1, 1, -1):
            size, p = sizes[tier - 2], params[f"tier_{tier}"]
            if (t - overlap) % size:
                continue
            below = sizes[tier - 3] if tier > 2 else 1
            x = 2 * (np.asarray(tokens[t - size : t], np.float64) / (config.q_levels // 2) - 1)
            if tier <= len(sizes):
                above = conditioning[tier + 1]
                phase = (t - overlap) % sizes[tier - 1] // size
                x = _linear(p["input_expand"], x) + above[phase]
            y, states[tier] = _stack(config, p["rnn"], x, states[tier])
            conditioning[tier] = _linear(p["output"], y).reshape(size // below, config.dim)
        p = params["tier_1"]
        previous = tokens[t - sizes[0] : t]
        table = np.asarray(p.get("embedding", np.eye(config.q_levels)), np.float64)
        x = np.concatenate([table[token] for token in previous])
        x = _linear(p["hidden_1"], x) + conditioning[2][(t - overlap) % sizes[0]]
        logits.append(_mlp(p, x, first=2))
    return np.stack(logits), states


def independent(config, params, tokens):
    """Logits [time, q_levels] of the top tier's independent predictions."""
    size, p = config.frame_sizes[-1], params[f"tier_{len(config.frame_sizes) + 1}"]
    states = [np.asarray(h, np.float64) for h in p["h0"]]
    logits = []
    for t in range(size, len(tokens), size):
        x = 2 * (np.asarray(tokens[t - size : t], np.float64) / (config.q_levels // 2) - 1)
        y, states = _stack(config, p["rnn"], x, states)
        logits.append(_linear(p["independent_preds"], y).reshape(size, config.q_levels))
    return np.concatenate(logits)


def wavenet(config, params, tokens):
    """Logits [time, q_levels] of one sequence [overlap + time], one target after the other."""
    dilations = [2**n for n in range(config.layers_per_block)] * config.num_blocks
    names = [
        f"block_{b + 1}_layer_{n + 1}"
        for b in range(config.num_blocks)
        for n in range(config.layers_per_block)
    ]
    samples = np.asarray(tokens, np.float64) / (config.q_levels - 1) - 0.5
    memory = {}

    def output_of(layer, t):
        """What layer `layer` hands to the next one at time t; layer -1 is the input."""
        if layer < 0:
            return samples[t : t + 1]
        if (layer, t) not in memory:
            memory[layer, t] = compute(layer, t)
        return memory[layer, t][0]

    def compute(layer, t):
        p, dim = params[names[layer]], config.dim
        past, present = output_of(layer - 1, t - dilations[layer]), output_of(layer - 1, t)
        a = _linear(p["dilated"], np.concatenate([past, present]))
        hidden = np.tanh(a[dim:]) * _sigmoid(a[:dim])
        b = _linear(p["mix"], hidden)
        residual = b[:dim] + (present if len(present) == dim else 0)
        return residual, float(p["skip_scale"]) * b[dim:]

    logits = []
    for t in range(config.overlap - 1, len(tokens) - 1):
        output_of(len(names) - 1, t)
        x = sum(compute(layer, t)[1] for layer in range(len(names)))
        for n in (1, 2, 3):
            x = _linear(params[f"hidden_{n}"], x)
            x = np.maximum(x, 0) if config.output_activation == "relu" else x
        logits.append(_linear(params["output"], x))
    return np.stack(logits)


def bits(logits, targets):
    """Mean of -log2 p(target)."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return -np.log2(p[np.arange(len(targets)), targets]).mean()
