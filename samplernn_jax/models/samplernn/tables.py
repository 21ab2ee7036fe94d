"""Lookups of table rows by tokens, sums of such rows in little memory, and the gradients."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_MOST_LEVELS = 2**12
"""The most levels of a table whose rows are summed by a product, which grows with the levels."""


@jax.custom_vjp
def look_up(
    table: Float[Array, "q_levels dim"], tokens: Int[Array, "*batch"]
) -> Float[Array, "*batch dim"]:
    """Returns the row of each token."""
    return jnp.take(table, tokens, axis=0)


def _forward(table: Array, tokens: Array) -> tuple[Array, tuple[Array, Array]]:
    return look_up(table, tokens), (table, tokens)


def _backward(residuals: tuple[Array, Array], of_rows: Array) -> tuple[Array, None]:
    table, tokens = residuals

    def by_addition(tokens: Array, of_rows: Array) -> Array:
        return sums_by_addition(tokens, of_rows, len(table))

    def on_accelerator(tokens: Array, of_rows: Array) -> Array:
        sums = sums_by_product if len(table) <= _MOST_LEVELS else sums_by_sorting
        return sums(tokens, of_rows, len(table))

    rows = tokens.reshape(-1), of_rows.reshape(-1, table.shape[1])
    return jax.lax.platform_dependent(*rows, cpu=by_addition, default=on_accelerator), None


look_up.defvjp(_forward, _backward)


def sums_by_addition(
    tokens: Int[Array, " rows"], rows: Float[Array, "rows dim"], q_levels: int
) -> Float[Array, "q_levels dim"]:
    """Returns the sum of the rows of each token, added one after the other.

    A GPU adds many at once, in an order that varies from run to run, and so do the last bits.
    """
    return jnp.zeros((q_levels, rows.shape[1]), rows.dtype).at[tokens].add(rows)


def sums_by_product(
    tokens: Int[Array, " rows"], rows: Float[Array, "rows dim"], q_levels: int
) -> Float[Array, "q_levels dim"]:
    """Returns the same by a product, whose other factor takes as much memory as the logits."""
    is_token = jax.nn.one_hot(tokens, q_levels, dtype=rows.dtype, axis=0)
    return jnp.dot(is_token, rows, precision=jax.lax.Precision.HIGHEST)


def sums_by_sorting(
    tokens: Int[Array, " rows"], rows: Float[Array, "rows dim"], q_levels: int
) -> Float[Array, "q_levels dim"]:
    """Returns the same by sorting: rows of the same token are put side by side, then added.

    On GPUs the order in which they are added is fixed only with XLA_FLAGS of
    --xla_gpu_deterministic_ops.
    """
    order = jnp.argsort(tokens, stable=True)
    return jax.ops.segment_sum(rows[order], tokens[order], q_levels, indices_are_sorted=True)


def add_rows(
    x: Float[Array, "batch time dim"],
    tables: Float[Array, "window q_levels dim"],
    tokens: Int[Array, "batch tokens"],
) -> Float[Array, "batch time dim"]:
    """Adds to x the rows of the tokens in the window at each time, each from its own table.

    One table follows the other, so that only the rows of one table are in memory at a time.

    Args:
        x: the array to add to.
        tables: the table for each place in a window.
        tokens: the tokens of all windows, each of which begins one token after the one before:
            time + window - 1.
    """
    time = x.shape[1]

    def add(x: Array, place: tuple[Array, Array]) -> tuple[Array, None]:
        table, first = place
        return x + look_up(table, jax.lax.dynamic_slice_in_dim(tokens, first, time, axis=1)), None

    return jax.lax.scan(add, x, (tables, jnp.arange(len(tables))))[0]
