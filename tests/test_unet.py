import random

import h5py
import keras
import numpy as np
import pytest

from patchseg import checkpoint, unet
from patchseg.core.errors import InputError

SMALL = {"levels": 3, "features": 4, "blocks": 1}


@pytest.mark.parametrize("kind", ["unet", "resunet"])
@pytest.mark.parametrize("size", [(64, 64), (256, 256), (4, 12)])
def test_takes_any_multiple_of_its_step(kind, size):
    out = np.asarray(unet.build(kind, **SMALL)(np.zeros((1, *size, 1), np.float32)))
    assert (
        out.shape == (1, *size, 3)
        and out.dtype == np.float32
        and (out >= 0).all()
        and (out <= 1).all()
    )


def test_volumes_pass_a_network_of_three_dimensions():
    network = unet.build("unet", activation="softmax", out_channels=2, dimensions=3, **SMALL)
    out = np.asarray(network(np.zeros((2, 8, 4, 12, 1), np.float32)))
    assert out.shape == (2, 8, 4, 12, 3) and np.allclose(out.sum(-1), 1, atol=1e-5)
    # one level: 3*3*3*1*4 convolution, 4*4 batch normalisation, 4*2+2 output
    small = unet.build("unet", levels=1, features=4, blocks=1, out_channels=2, dimensions=3)
    assert small.count_params() == 108 + 16 + 10


def test_softmax_has_a_background_channel_and_sums_to_1():
    out = np.asarray(
        unet.build("unet", activation="softmax", **SMALL)(
            np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
        )
    )
    assert out.shape[-1] == 4 and np.allclose(out.sum(-1), 1, atol=1e-5)


def test_parameters_by_hand():
    # one level, one block: 3*3*1*4 convolution, 4*4 batch normalisation, 4*3+3 output
    assert unet.build("unet", levels=1, features=4, blocks=1).count_params() == 36 + 16 + 15


def test_save_and_load_give_the_same_network(tmp_path):
    network = unet.build("unet", **SMALL)
    for name in "ab":
        checkpoint.save(network, {"kind": "unet", **SMALL}, tmp_path / f"{name}.weights.h5")
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()
    x = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    assert np.array_equal(checkpoint.load(tmp_path / "a.weights.h5")(x), network(x))


def test_a_file_is_the_same_and_the_session_stays_whatever_was_built_before(tmp_path):
    """Keras numbers layers per session, and their names go into the file."""
    network = unet.build("unet", **SMALL)
    checkpoint.save(network, {"kind": "unet", **SMALL}, tmp_path / "a.weights.h5")
    first = keras.layers.Dense(1).name
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    before = random.getstate(), np.random.get_state()[1].tolist()
    try:
        checkpoint.save(network, {"kind": "unet", **SMALL}, tmp_path / "b.weights.h5")
        checkpoint.load(tmp_path / "b.weights.h5")
        assert keras.mixed_precision.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()
    number = int(first.partition("_")[2] or 0)
    assert keras.layers.Dense(1).name == f"dense_{number + 1}"
    with h5py.File(tmp_path / "b.weights.h5") as file:
        names = []
        file.visititems(lambda _, part: names.append(part.attrs.get("name")))
    assert {"conv2d", "conv2d_1", "batch_normalization"} <= set(names)


def test_weights_that_do_not_fit_or_are_missing(tmp_path):
    path = tmp_path / "a.weights.h5"
    with pytest.raises(InputError, match=r"a.weights.h5: no such file; weights are two files"):
        checkpoint.load(path)
    checkpoint.save(unet.build("unet", **SMALL), {"kind": "unet", **SMALL}, path)
    checkpoint.write_card(path, {"kind": "unet", **SMALL, "features": 8})
    with pytest.raises(InputError, match=r"do not fit a.json"):
        checkpoint.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"a.weights.h5: sha256 .* is not"):
        checkpoint.load(path)
