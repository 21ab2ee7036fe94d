"""Programs as they are lowered for an accelerator, which is possible without one."""

import re


def lowered(step, *args, platform="tpu"):
    """The StableHLO of a jitted function, or of a step that `map_step` made."""
    return step.trace(*args).lower(lowering_platforms=(platform,)).as_text()


def products(program):
    """The precision of the factors of each matrix product, such as "HIGHEST, HIGHEST"."""
    lines = [line for line in program.splitlines() if "stablehlo.dot" in line]
    found = [re.search(r"precision = \[([A-Z, ]*)\]", line) for line in lines]
    return [match[1] if match else "none" for match in found]


def product_types(program):
    """The types of the factors and of the result of each matrix product."""
    lines = [line for line in program.splitlines() if "stablehlo.dot" in line]
    return [tuple(re.findall(r"tensor<[0-9x]*x(\w+)>", line)) for line in lines]
