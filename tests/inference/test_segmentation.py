import itertools
import os
import random

import cv2
import keras
import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, write_nifti
from tensorflow.python.eager import context
from tensorflow.python.framework import config

import patchseg
from patchseg import checkpoint, params, unet
from patchseg.core import runtime
from patchseg.core.errors import InputError
from patchseg.images import brain, grid, volume
from patchseg.inference import networks, qc


def ball(affine=None, shape=(40, 36, 32)):
    image, labels = ball_brain(shape)
    return nib.Nifti1Image(image, np.eye(4) if affine is None else affine), labels


def test_the_result_has_what_the_readme_promises(network):
    image, labels = ball()
    result = patchseg.segment(image)
    assert np.array_equal(result.dseg.dataobj, labels) and result.dseg.get_data_dtype() == np.uint8
    assert result.probseg.shape == (*image.shape, 3) and np.allclose(
        result.probseg.get_fdata().sum(-1)[labels > 0], 1, atol=1e-4
    )
    assert (
        result.uncertainty.shape == image.shape
        and 0 <= result.uncertainty.get_fdata().min() <= result.uncertainty.get_fdata().max() <= 1
    )
    assert result.volumes.set_index("tissue").volume_mm3.to_dict() == {
        name: (labels == n).sum() for name, n in (("CSF", 1), ("GM", 2), ("WM", 3))
    } | {"brain": (labels > 0).sum()}
    assert (result.volumes.low_mm3 <= result.volumes.probability_mm3 + 1e-6).all() and (
        result.volumes.probability_mm3 <= result.volumes.high_mm3 + 1e-6
    ).all()
    assert result.verdict in qc.VERDICTS and len(result.provenance["weights_sha256"]) == 64


def test_all_48_orientations_give_the_same_brain_on_their_own_grid(network):
    image, labels = ball(shape=(24, 22, 20))
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turned = image.as_reoriented(np.array(list(zip(order, signs, strict=True))))
            found = patchseg.segment(turned, scales=(0.5,)).dseg
            assert found.shape == turned.shape and np.allclose(found.affine, turned.affine)
            back = grid.ras(found)[0]
            assert (back == labels).mean() > 0.999


def test_oblique_anisotropic_image_with_units_keeps_its_header(network):
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    image, labels = ball(
        nib.affines.from_matvec(turn @ np.diag([0.3, 0.3, 2]), [-10, 5, 7]), (80, 80, 12)
    )
    image.set_sform(image.affine, 2)
    image.set_qform(image.affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    found = patchseg.segment(image).dseg
    assert np.array_equal(found.affine, image.affine) and (
        found.header["sform_code"],
        found.header["qform_code"],
    ) == (2, 1)
    assert found.header["xyzt_units"] == image.header["xyzt_units"]
    assert (np.asarray(found.dataobj) == labels)[labels > 0].mean() > 0.95


def test_a_mask_decides_what_is_brain(network, tmp_path):
    image, labels = ball()
    mask = nib.Nifti1Image((labels >= 2).astype(np.uint8), image.affine)
    assert np.array_equal(np.asarray(patchseg.segment(image, mask).dseg.dataobj) > 0, labels >= 2)
    with pytest.raises(InputError, match=r"m.nii.gz: shape \(3, 3, 3\) differs"):
        patchseg.segment(image, write_nifti(tmp_path / "m.nii.gz", np.ones((3, 3, 3), np.uint8)))
    with pytest.raises(InputError, match="the mask is 0 everywhere"):
        patchseg.segment(image, nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine))


def test_micrometres_are_understood(network):
    image, labels = ball(np.diag([500, 500, 500, 1.0]))
    image.header.set_xyzt_units("micron")
    volumes = patchseg.segment(image).volumes.set_index("tissue")
    assert volumes.volume_mm3.brain == pytest.approx((labels > 0).sum() / 8)


def test_several_scales_are_averaged_and_tiles_change_nothing(network):
    image, labels = ball()
    several = patchseg.segment(image, scales=(0.8, 1.25))
    assert (
        len(several.provenance["pixel_mm"]) == 2
        and (np.asarray(several.dseg.dataobj) == labels)[labels > 0].mean() > 0.97
    )
    tiled = patchseg.segment(image, tile=64)
    assert np.array_equal(tiled.dseg.dataobj, labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": (0.0,)}, "magnification"),
        ({"scales": ()}, "magnification"),
        ({"tile": 50}, "tile 50"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        patchseg.segment(ball()[0], **settings)


def verdicts(result):
    return result.qc.set_index("check").verdict.to_dict()


def test_qc_names_what_is_odd(network):
    image, labels = ball()
    data = image.get_fdata()
    bright = (labels == 3) & (np.random.default_rng(0).random(labels.shape) < 0.2)
    even = verdicts(
        patchseg.segment(nib.Nifti1Image(np.where(bright, 90.0, 30.0) * (labels > 0), image.affine))
    )
    assert even["WM share"] == "bad" and even["GM share"] == "bad"
    cut = patchseg.segment(image.slicer[20:])
    assert (
        verdicts(cut)["clipped"] == "bad"
        and "field of view" in cut.reasons
        and cut.verdict == "bad"
    )
    small = patchseg.segment(nib.Nifti1Image(data, np.diag([0.1, 0.1, 0.1, 1])))
    assert verdicts(small)["brain size (mm)"] == "look"
    large = patchseg.segment(nib.Nifti1Image(data, np.diag([10.0, 10.0, 10.0, 1])))
    assert verdicts(large)["brain size (mm)"] == "look"  # though networks saw brains magnified
    inverse = patchseg.segment(nib.Nifti1Image(np.where(labels > 0, 120 - data, 0), image.affine))
    assert verdicts(inverse)["rim to depth"] == "look" and "T2w" in inverse.reasons


ZOO = os.environ.get("PATCHSEG_ZOO")


@pytest.mark.skipif(not ZOO, reason="PATCHSEG_ZOO names no folder with real brains")
@pytest.mark.parametrize(
    "pattern",
    [
        "Jfortin1*/**/JHU_MNI_SS_T1_Brain.nii.gz",
        "Washington*/**/ChimpYerkes29_T*w_0.8mm_brain.nii.gz",
        "DCAN*/**/T1w_brain.nii.gz",
    ],
)
def test_real_brains_show_their_contrast_at_the_surface(pattern):
    from pathlib import Path

    for path in Path(ZOO).glob(pattern):
        data, affine = volume.load(path)
        mask = brain.foreground(data)
        profile = brain.depth_profile(brain.normalise(data, mask), mask, grid.voxel_size_mm(affine))
        assert (qc._rim(profile, type("Any", (), {"contrasts": ("T1w",)}))[3] == "look") == (
            "T2w" in path.name
        )


@pytest.mark.nightly
@pytest.mark.skipif(not ZOO, reason="PATCHSEG_ZOO names no folder with real brains")
def test_a_bias_field_of_40_percent_costs_less_than_002_dice():
    """The package's network on a chimpanzee, bright in front on the left, dark behind."""
    from patchseg import metrics
    from patchseg.datasets import zoo

    one = zoo.load("chimp")
    image, labels, affine = one.image, one.labels * one.known, one.affine
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.shape], indexing="ij")
    field = 1 + 0.4 * np.clip(1.2 * (x + y - z) / 2, -1, 1)

    def dice(data):
        found = np.asarray(patchseg.segment(nib.Nifti1Image(data, affine)).dseg.dataobj)
        return np.mean(
            [metrics.dice(labels == tissue, (found == tissue) & (labels > 0)) for tissue in (2, 3)]
        )

    assert field.min() < 0.65 and field.max() > 1.35
    even, biased = dice(image), dice((image * field).astype(np.float32))
    assert even > 0.8 and even - biased < 0.02


def state():
    """What a process shares with everything else that runs in it."""
    return {
        "numpy": [str(part) for part in np.random.get_state()],
        "python": random.getstate(),
        "precision": keras.config.dtype_policy().name,
        "floats": (keras.config.floatx(), keras.config.image_data_format()),
        "environment": dict(os.environ),
        "standard error": (os.fstat(2).st_dev, os.fstat(2).st_ino),
        "threads": cv2.getNumThreads(),
        "determinism": config.is_op_determinism_enabled(),
        "seed": context.global_seed(),
    }


@pytest.mark.filterwarnings("ignore:.*hardly agree")
def test_a_call_of_the_library_leaves_the_process_as_it_was(tmp_path, monkeypatch):
    """Each public function, with a small network, while the user computes in another precision."""
    image, labels = ball_brain((24, 24, 24))
    image, painted = nib.Nifti1Image(image, np.eye(4)), np.zeros_like(labels)
    painted[:, 12] = labels[:, 12]
    small = {"levels": 2, "features": 4, "blocks": 1, "activation": "softmax"}
    path = tmp_path / "small.weights.h5"
    checkpoint.save(unet.build(**small), small, path, brain_pixels=24)
    recipe = params.shipped().adapt
    draws = {
        name: getattr(recipe, name).model_copy(update={"patches": 32})
        for name in ("draw", "replayed")
    }
    recipe = recipe.model_copy(update=draws)
    keras.config.set_dtype_policy("mixed_float16")
    redirected, dup2 = [], os.dup2
    monkeypatch.setattr(os, "dup2", lambda *to: redirected.append(to) or dup2(*to))
    calls = {
        "load": lambda: networks.load(path, "float32"),
        "segment": lambda: patchseg.segment(image, weights=path),
        "suggest": lambda: patchseg.suggest(image, 1, path),
        "adapt": lambda: patchseg.adapt(
            image,
            nib.Nifti1Image(painted, np.eye(4)),
            path,
            tmp_path / "a.weights.h5",
            steps=1,
            recipe=recipe,
        ),
        "save": lambda: patchseg.segment(image, weights=path).save(tmp_path, "a"),
    }
    try:
        for name, call in calls.items():
            own, before = keras.layers.Dense(1).name, state()
            call()
            assert state() == before and not redirected, name
            number = int(keras.layers.Dense(1).name.partition("_")[2])
            assert number == int(own.partition("_")[2] or 0) + 1, name
    finally:
        keras.config.set_dtype_policy("float32")


def test_the_record_tells_what_computed_it(network):
    made = patchseg.segment(ball()[0], precision="float32").provenance
    assert made["precision"] == "float32" and made["threads"] == runtime.threads()
    assert made["libraries"]["keras"] == keras.__version__ and made["processor"]
    with pytest.raises(InputError, match="precision 'half' is unknown"):
        patchseg.segment(ball()[0], precision="half")
    with pytest.raises(InputError, match="TensorFlow runs in this process"):
        context.ensure_initialized()
        patchseg.segment(ball()[0], threads=runtime.threads() + 1)


def test_a_network_computes_in_the_precision_that_is_asked_for():
    found = {name: networks.load(precision=name).model for name in runtime.PRECISIONS[1:]}
    for name, model in found.items():
        assert {layer.dtype_policy.name for layer in model.layers[1:-1]} == {name}
    assert networks.load().model is found[runtime.precision("auto")]
