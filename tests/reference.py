"""SampleRNN in float64 NumPy, written from the paper's equations, one time step after the other.

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


def forward(config, params, tokens):
    """Logits [time, q_levels] of one sequence [overlap + time], and the states per tier."""
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
        x = np.maximum(_linear(p["hidden_2"], x), 0)
        x = np.maximum(_linear(p["hidden_3"], x), 0)
        logits.append(_linear(p["output"], x))
    return np.stack(logits), states
