"""Checkpoints on disk: the only module that imports orbax.

A checkpoint holds two items: `params`, all that evaluation and sampling read (the moving average,
if there is one), and `rest`, what training needs on top to go on exactly (optimizer, carry, step,
and the parameters themselves where `params` is their average). Step 0 is an imported model, which
has no `rest`.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, CustomSteps, LatestN

from samplernn_jax.architectures import abstract_params
from samplernn_jax.config import ArchitectureConfig, TrainConfig
from samplernn_jax.model import Carry, Params
from samplernn_jax.training.step import TrainState
from samplernn_jax.training.workdir import Workdir

IMPORTED_STEP = 0


class Position(NamedTuple):
    """A point of a training run from which it goes on exactly."""

    state: TrainState
    carry: Carry


class Checkpoints:
    """The checkpoints of a run: the latest few, the few best by validation bits, and an import."""

    def __init__(self, workdir: Workdir, config: TrainConfig) -> None:
        """Opens the folder, and makes it if needed."""
        policy = AnyPreservationPolicy(
            [
                LatestN(config.keep_latest),
                BestN(get_metric_fn=_valid_bits, reverse=True, n=config.keep_best),
                CustomSteps([IMPORTED_STEP]),
            ]
        )
        self._manager = _manager(workdir.checkpoints, preservation_policy=policy)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The step to resume from; None in a fresh run."""
        return self._manager.latest_step()

    def save(self, position: Position, valid_bits: float) -> None:
        """Saves, and removes what is neither among the latest nor among the best."""
        items = _items(position)
        self._manager.save(
            int(position.state.step),
            args=ocp.args.Composite(**{k: ocp.args.StandardSave(v) for k, v in items.items()}),
            metrics={"valid_bits": valid_bits},
        )
        self._manager.wait_until_finished()

    def restore(self, like: Position) -> Position:
        """Loads the latest checkpoint onto the devices where `like` is.

        Of an imported model it loads the parameters, and the rest is that of `like`.
        """
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _items(like)
        )
        if self.latest_step == IMPORTED_STEP:
            del abstract["rest"]
        items: dict[str, Any] = self._manager.restore(
            self.latest_step,
            args=ocp.args.Composite(
                **{k: ocp.args.StandardRestore(v) for k, v in abstract.items()}
            ),
        )
        if self.latest_step == IMPORTED_STEP:
            state = like.state._replace(params=items["params"])
            if state.average is not None:
                state = state._replace(average=jax.tree.map(jnp.copy, state.params))
            return like._replace(state=state)
        rest = items["rest"]
        carry = rest.pop("carry")
        if like.state.average is None:
            return Position(TrainState(params=items["params"], average=None, **rest), carry)
        return Position(TrainState(average=items["params"], **rest), carry)


def save_imported(workdir: Workdir, params: Params) -> None:
    """Saves the parameters of an imported model, for evaluation, sampling and further training."""
    with _manager(workdir.checkpoints) as manager:
        manager.save(
            IMPORTED_STEP,
            args=ocp.args.Composite(params=ocp.args.StandardSave(params)),
            metrics={"valid_bits": math.inf},
        )


def restore_params(
    workdir: Workdir, config: ArchitectureConfig, step: int | None = None
) -> tuple[int, Params]:
    """Loads the parameters of the best checkpoint, or of the one of `step`.

    Returns:
        The step and the parameters, on the first local device.

    Raises:
        ValueError: there is no such checkpoint.
    """
    if not workdir.has_checkpoint:
        raise ValueError(f"workdir={workdir.path}: holds no checkpoint yet")
    with _manager(workdir.checkpoints, create=False) as manager:
        steps = sorted(manager.all_steps())
        if step is None:
            step = manager.best_step()
        if step not in steps:
            raise ValueError(
                f"step={step}: workdir {workdir.path} has checkpoints of steps "
                f"{', '.join(map(str, steps))}"
            )
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
            abstract_params(config),
        )
        restored = manager.restore(
            step, args=ocp.args.Composite(params=ocp.args.StandardRestore(abstract))
        )
    return step, restored["params"]


def _items(position: Position) -> dict[str, Any]:
    state, carry = position
    rest = {**state._asdict(), "carry": carry}
    del rest["average"]
    if state.average is None:
        del rest["params"]
    return {"params": state.best_params, "rest": rest}


def _valid_bits(metrics: dict[str, float]) -> float:
    return metrics["valid_bits"]


def _manager(path: Path, **options: Any) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
        path,
        options=ocp.CheckpointManagerOptions(
            best_fn=_valid_bits, best_mode="min", enable_async_checkpointing=False, **options
        ),
    )
