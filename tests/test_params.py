from pathlib import Path

import pytest

from patchseg import params
from patchseg.core.errors import InputError

PROJECT = Path(__file__).parents[1] / "params.yaml"


def changed(tmp_path, old, new):
    text = PROJECT.read_text()
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1))
    return tmp_path / "params.yaml"


def test_the_projects_params_load_and_recipes_override():
    settings = params.load(PROJECT)
    assert settings.compare[0] == "patchseg" and settings.augment.share > 0
    assert params.load(PROJECT, "no-zoom").augment.share == 0
    original = params.load(PROJECT, "original")
    assert (
        original.preprocess.keep_empty,
        original.preprocess.square,
        original.train.loss,
        original.augment.fractions,
    ) == (0, False, "bce", [0.5])


CASES = {
    "misspelt": (
        "learning_rate:",
        "learning_rat:",
        r"key 'train.learning_rat' .* is unknown; did you mean 'learning_rate'\?",
    ),
    "unknown section": (
        "augment:\n",
        "augmentation: {a: 1}\naugment:\n",
        r"key 'augmentation' .* did you mean 'augment'\?",
    ),
    "unknown key": (
        "  square:",
        "  zzz: 1\n  square:",
        r"key 'preprocess.zzz' \(value 1\) is unknown; use one of",
    ),
    "missing": ("  seed: 0\n  jobs", "  jobs", "key 'preprocess.seed' is missing"),
    "not dividing": (
        "slice_size: 256",
        "slice_size: 250",
        "slice_size 250 is not a multiple of patch_size 64",
    ),
    "patch too deep": ("levels: 3", "levels: 6", None),
    "out of range": (
        "share: 0.5",
        "share: 1.5",
        r"augment.share = 1.5: Input should be less than or equal to 1",
    ),
    "wrong word": (
        "network: unet",
        "network: vnet",
        "train.network = 'vnet': Input should be 'unet' or 'resunet'",
    ),
    "misspelt in a recipe": (
        "{share: 0.0}",
        "{shar: 0.0}",
        r"recipes.no-zoom: key 'augment.shar' .* did you mean 'share'\?",
    ),
    "fold size": (
        "fold_sizes: [0.5",
        "fold_sizes: [0.6",
        "fold size 0.6 times slice_size 256 is not a multiple",
    ),
    "unknown recipe": (
        "no-zoom, original]",
        "no-zoom, orignal]",
        "compare names recipe 'orignal', which is unknown",
    ),
    "a seed twice": (
        "seeds: [0, 1, 2]",
        "seeds: [0, 1, 1]",
        r"params.yaml: seeds \[0, 1, 1\] name one twice",
    ),
    "a seed for one training": (
        "precision: float32       #",
        "seed: 0\n  precision: float32  #",
        r"key 'train.seed' \(value 0\) is unknown",
    ),
    "not YAML": ("dataset: data", "dataset: [", "not YAML"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_params_name_file_key_and_mend(tmp_path, case):
    old, new, message = CASES[case]
    path = changed(tmp_path, old, new)
    if message is None:
        assert params.load(path).train.levels == 6  # 64 is a multiple of 2^5
        return
    with pytest.raises(InputError, match=message) as error:
        params.load(path)
    assert str(path) in str(error.value)


def test_levels_must_fit_the_patch(tmp_path):
    path = changed(tmp_path, "patch_size: 64", "patch_size: 2")
    with pytest.raises(InputError, match="patch_size 2 is not a multiple of 4, as 3 levels need"):
        params.load(path)


def test_missing_or_empty_file_and_unknown_recipe(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(InputError, match="holds no sections"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(
        InputError, match="recipe 'x' is unknown; there are patchseg, no-zoom, padded, original"
    ):
        params.load(PROJECT, "x")
