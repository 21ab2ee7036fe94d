import dataclasses

import pytest

from samplernn_jax.runs.checkpoint import save_imported
from samplernn_jax.runs.workdir import RunInfo, Workdir
from tests.tiny_models import TINY, TINY_WAVENET, random_params
from tests.training.runs import RATE, make_config


def import_into(path, model):
    workdir = Workdir(path)
    config = make_config("", model=model)
    workdir.write_info(RunInfo(config, RATE, dataset_digest="", imported=True))
    save_imported(workdir, random_params(model))
    return workdir


@pytest.mark.parametrize("given", [{}, {"dtype": "bfloat16"}, {"learn_h0": False, "dim": 8}])
def test_an_imported_model_is_trained_as_it_is_asked_for(tmp_path, given):
    workdir = import_into(tmp_path, TINY)
    model = workdir.imported_model_with(given)
    assert model == dataclasses.replace(TINY, **given)
    workdir.check_same_config(make_config("", model=model))


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (
            TINY,
            {"dim": 512},
            r"model.dim=512: the model that was imported .* has dim=8; only dtype",
        ),
        (TINY, {"dtype": "int8"}, "dtype='int8': must be one of float32, bfloat16"),
        (TINY_WAVENET, {"dtype": "bfloat16"}, "model.dtype='bfloat16': .* a wavenet, has no such"),
    ],
)
def test_what_an_imported_model_cannot_become_is_refused(tmp_path, model, given, message):
    workdir = import_into(tmp_path, model)
    with pytest.raises(ValueError, match=message):
        workdir.imported_model_with(given)


def test_what_was_trained_further_stays_as_it_was_trained(tmp_path):
    workdir = import_into(tmp_path, TINY)
    (workdir.checkpoints / "0").rename(workdir.checkpoints / "1")
    with pytest.raises(ValueError, match=r"model.dtype='bfloat16': workdir .* holds a run"):
        workdir.check_same_config(
            make_config("", model=dataclasses.replace(TINY, dtype="bfloat16"))
        )
