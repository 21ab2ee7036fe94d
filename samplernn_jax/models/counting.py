"""Arithmetic of parameters and floating-point operations that the architectures share."""


def linear_parameters(inputs: int, outputs: int, weight_norm: bool, bias: bool = True) -> int:
    """The parameters of a `Linear`."""
    return (inputs + weight_norm + bias) * outputs


def product_flop(inputs: int, outputs: int, times: float, input_is_data: bool = False) -> float:
    """FLOP of a product with a matrix and of its gradients.

    A product costs as much again for the gradient of either factor.

    Args:
        inputs: rows of the matrix.
        outputs: its columns.
        times: vectors that are multiplied with it.
        input_is_data: they are read and not computed, so that they need no gradient.
    """
    return 2 * (2 if input_is_data else 3) * inputs * outputs * times
