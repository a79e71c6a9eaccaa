"""Small brains that every test can make by hand."""

import os
import shutil

import nibabel as nib
import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("shared machines", deadline=None)
settings.load_profile("shared machines")
os.environ["PATCHSEG_PROGRESS"] = "off"
os.environ["PATCHSEG_WEIGHTS"] = "no weights of the user"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Put files that take minutes first: two processes that share the files then end together."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def nightly_but(kept, names):
    """Return names to parametrise a test with: all but a few are left to the nightly run."""
    assert set(kept) <= set(names)
    left = pytest.mark.nightly
    return [name if name in kept else pytest.param(name, marks=left) for name in names]


def ball_brain(shape=(40, 36, 32), centre=0.5):
    """Three nested balls: WM (bright) inside GM inside CSF (dark).

    Image float32 and labels uint8.
    """
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    labels = np.select([radius < 0.45, radius < 0.7, radius < 0.9], [3, 2, 1], 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.01, shape)
    image = np.choose(labels, [0, 30, 60, 90]) * (1 + noise)
    return image.astype(np.float32), labels


def labelled_ball(name="ball", shape=(40, 36, 32), labels=None, affine=None, **known):
    """The ball as a `Labelled`, whose mask is the whole ball; `labels` may leave some out (255)."""
    from patchseg.datasets.labelled import Labelled

    image, whole = ball_brain(shape)
    truth = whole if labels is None else np.where((whole > 0) & (labels == 0), 255, labels)
    return Labelled(
        name, image, truth.astype(np.uint8), np.eye(4) if affine is None else affine, **known
    )


def write_dataset(
    root, rows=(("sub-a", "train"), ("sub-b", "val"), ("sub-c", "test")), shape=(40, 36, 32)
):
    """Write a BIDS dataset of ball brains; each subject has a little more noise than the last."""
    image, labels = ball_brain(shape)
    root.mkdir(parents=True, exist_ok=True)
    lines = ["participant_id\tspecies\tsplit"] + [f"{name}\tball\t{split}" for name, split in rows]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    for number, (name, _) in enumerate(rows):
        noisy = image * (1 + np.random.default_rng(number).normal(0, 0.01, shape)).astype(
            np.float32
        )
        write_nifti(root / name / "anat" / f"{name}_T1w.nii.gz", noisy)
        write_nifti(root / "derivatives" / "labels" / name / "anat" / f"{name}_dseg.nii.gz", labels)
    return root


def write_nifti(path, data, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data")


@pytest.fixture
def grid():
    from patchseg.params import Preprocess

    return Preprocess(
        top=99,
        axes=["coronal", "axial"],
        every=3,
        slice_size=64,
        patch_size=32,
        square=True,
        keep_empty=0.5,
        seed=0,
        jobs=1,
    )


@pytest.fixture
def train_settings():
    from patchseg.params import Training

    return Training(
        network="unet",
        levels=2,
        features=4,
        blocks=1,
        loss="bce",
        flips=True,
        epochs=4,
        steps_per_epoch=6,
        batch_size=4,
        learning_rate=0.01,
        schedule="cosine",
        validation_patches=8,
        precision="float32",
        seed=0,
    )


@pytest.fixture
def on_dask():
    """Let joblib work on a Dask cluster, whose worker is a thread of this process."""
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is missing")
    import joblib

    here = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=False, **here) as made,
        distributed.Client(made),
        joblib.parallel_config("dask"),
    ):
        yield


class Thresholds:
    """A network that knows the ball brain: CSF is 0.3, GM 0.6, WM 0.9 bright (or `levels`)."""

    input_shape = (None, None, None, 1)
    layers = ()

    def __init__(self, levels=(0.3, 0.6, 0.9)):
        self.levels = levels

    def predict_on_batch(self, x):
        near = np.exp(-((x - np.array([0, *self.levels])) ** 2) / 0.005)
        return (near / near.sum(axis=-1, keepdims=True)).astype(np.float32)


class Shells:
    """A network that finds the brain of `ball_head`: what is as bright as it."""

    def __init__(self, low=0.05, high=0.85):
        self.low, self.high = low, high

    def predict_on_batch(self, x):
        air, brain = x < 0.05, (x >= self.low) & (x < self.high)
        return np.concatenate([air & ~brain, ~air & ~brain, brain], axis=-1).astype(np.float32)


def ball_head(shape=(60, 54, 50), at=(0, 0, 0), scalp=0.75):
    """A ball with the intensities of a brain in a bright, thick scalp; image and brain mask."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, at, strict=True)))
    image = np.select([radius < 0.5, radius < scalp], [60.0, 100.0], 0.0).astype(np.float32)
    return image, radius < 0.5


@pytest.fixture(autouse=True)
def balls_are_whole_brains(request, monkeypatch):
    """Tests of adaptation take balls for brains: what finds the brain in a head leaves them."""
    if request.path.parent.name == "adaptation":
        from patchseg.inference import networks

        made = Shells(0.05, 2.0)
        monkeypatch.setattr(networks, "load_heads", lambda path=None, precision="auto": made)


@pytest.fixture
def heads_network(monkeypatch):
    """Put `Shells` in the place of the package's network that finds the brain."""
    from patchseg.inference import networks

    monkeypatch.setattr(networks, "load_heads", lambda path=None, precision="auto": Shells())


@pytest.fixture
def thresholds():
    return Thresholds()


@pytest.fixture
def network(monkeypatch):
    """Put `Thresholds` in the place of the package's network: its answers are known by hand."""
    from patchseg import checkpoint
    from patchseg.inference import networks

    made = networks.Network(
        Thresholds((0.33, 0.65, 0.98)),
        checkpoint.SHIPPED,
        checkpoint.read_card(checkpoint.SHIPPED),
        brain_pixels=48,
        sizes_mm=(20, 30),
    )
    monkeypatch.setattr(networks, "load", lambda path=None, precision="auto": made)
    monkeypatch.setattr(networks, "load_heads", lambda path=None, precision="auto": Shells())
    return made


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's code from which keys are made; tests change lines of it.

    Returns its folder.
    """
    from patchseg.core import source

    folder = tmp_path / "source" / "patchseg"
    shutil.copytree(source.PACKAGE, folder, ignore=lambda _, names: {"__pycache__", "data"})
    monkeypatch.setattr(source, "PACKAGE", folder)
    return folder
