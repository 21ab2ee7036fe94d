"""Rewrites parameters so that sampling does less per sample, exactly.

The result is again a model: the one without weight normalization and, below frame-level tiers,
without embedding that computes the same. So the decode loop runs the model's own modules.
"""

import dataclasses

import jax.numpy as jnp

from samplernn_jax.config import ArchitectureConfig, ModelConfig
from samplernn_jax.layers import normalize_weight
from samplernn_jax.model import Params


def fold(config: ArchitectureConfig, params: Params) -> tuple[ArchitectureConfig, Params]:
    """The equivalent model with plain matrices and, below frame-level tiers, one-hot input.

    Weight normalization goes into the matrices, and embedding x first layer of the sample-level
    MLP into one table per input position, [frame_size * q_levels, dim]. The independent
    predictions, which sampling never reads, are left out. In WaveNet there is nothing to fold.
    """
    if not isinstance(config, ModelConfig):
        return config, params
    params = _fold_weight_norm(params)
    if config.independent_preds:
        top = f"tier_{len(config.frame_sizes) + 1}"
        params = {**params, top: {k: v for k, v in params[top].items() if k != "independent_preds"}}
    config = dataclasses.replace(
        config, weight_norm=False, independent_preds=False, dtype="float32"
    )
    if config.emb_size and config.frame_sizes:
        params = {**params, "tier_1": _fold_embedding(params["tier_1"])}
        config = dataclasses.replace(config, emb_size=0)
    return config, params


def _fold_weight_norm(params: Params) -> Params:
    folded: Params = {
        k: _fold_weight_norm(v) if isinstance(v, dict) else v for k, v in params.items()
    }
    if "scale" in folded:
        folded["kernel"] = normalize_weight(folded["kernel"], folded.pop("scale"))
    return folded


def _fold_embedding(tier_1: Params) -> Params:
    folded = {k: v for k, v in tier_1.items() if k != "embedding"}
    embedding, kernel = tier_1["embedding"], tier_1["hidden_1"]["kernel"]
    weight = kernel.reshape(-1, embedding.shape[1], kernel.shape[1])
    tables = jnp.einsum("qe,fed->fqd", embedding, weight)
    folded["hidden_1"] = {"kernel": tables.reshape(-1, kernel.shape[1])}
    return folded
