"""Counts of parameters and floating-point operations, for all architectures."""


def linear_parameters(inputs: int, outputs: int, weight_norm: bool, bias: bool = True) -> int:
    """Returns the number of parameters of a `Linear`."""
    return (inputs + weight_norm + bias) * outputs


def product_flop(inputs: int, outputs: int, times: float, input_is_data: bool = False) -> float:
    """Returns the FLOP of a product with a matrix and of its gradients.

    The gradient of either factor costs as much as the product itself.

    Args:
        inputs: the number of the matrix's rows.
        outputs: the number of its columns.
        times: the number of vectors that are multiplied with it.
        input_is_data: the vectors are data, so they need no gradient.
    """
    return 2 * (2 if input_is_data else 3) * inputs * outputs * times
