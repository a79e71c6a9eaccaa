"""`params.yaml`: one section per stage, checked, and the recipes that override parts of it."""

import difflib
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES

NAME = "params.yaml"
STAGES = ("preprocess", "augment", "train", "evaluate")
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Axes = Annotated[list[Literal["sagittal", "coronal", "axial"]], Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A section refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocess(Section):
    """Volume to patches."""

    top: Annotated[float, Field(gt=0, le=100)]
    axes: Axes
    every: Count
    slice_size: Count
    patch_size: Count
    square: bool
    keep_empty: Share
    seed: int
    jobs: Count

    @model_validator(mode="after")
    def _divides(self):
        if self.slice_size % self.patch_size:
            raise ValueError(
                f"slice_size {self.slice_size} is not a multiple of patch_size {self.patch_size};"
                " use for example 256 and 64"
            )
        return self


class Augment(Section):
    """Patches to training set."""

    share: Share
    fractions: Annotated[list[Fraction], Field(min_length=1)]
    seed: int


class Patches(Section):
    """How patches are drawn from whole brains (see `patchseg.training.draw`)."""

    patches: Count
    patch_size: Count
    scales: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    anisotropy: Annotated[float, Field(ge=0)]
    elastic: Annotated[float, Field(ge=0)]
    anywhere: Share
    thick: Share
    drawn: Share
    orders: tuple[Share, Share, Share, Share]
    parts: Share
    reshaped: Share
    rim: Share
    repainted: Share
    curves: Share
    gamma: Annotated[float, Field(ge=0)]
    bias: Annotated[float, Field(ge=0)]
    blurred: Share
    coarse: Share
    noise: Annotated[float, Field(ge=0)]
    background: Share
    seed: int


class Draw(Patches):
    """Whole brains to patches of any size and contrast."""

    validation: Count
    brain_pixels: Annotated[float, Field(gt=0)]


class DeepDraw(Draw):
    """Label maps of whole brains to patches (see `patchseg.training.deep_grey`)."""


class Train(Section):
    """Training set to networks, one for each seed."""

    network: Literal["unet", "resunet"]
    levels: Annotated[int, Field(ge=1, le=6)]
    features: Count | list[Count]
    blocks: Count | list[Count]
    loss: Literal["bce", "ce", "dice_ce"]
    flips: bool
    epochs: Count
    steps_per_epoch: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine"]
    validation_patches: Count
    precision: Literal["auto", "float32", "mixed_bfloat16"]

    def seeded(self, seed):
        """Return the settings of one training."""
        return Training(**self.model_dump(), seed=seed)


class Training(Train):
    """Training set to one network."""

    classes: ClassVar[tuple] = TISSUES
    dimensions: ClassVar[int] = 2
    seed: Annotated[int, Field(ge=0)]


class DeepTraining(Training):
    """Patches to the network that finds deep grey matter."""

    classes: ClassVar[tuple] = ("other", "deep grey matter", "white matter")


class HeadDraw(Section):
    """How cubes of whole heads are drawn (see `patchseg.training.heads`)."""

    patches: Count
    validation: Count
    patch_size: Count
    scales: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    anisotropy: Annotated[float, Field(ge=0)]
    elastic: Annotated[float, Field(ge=0)]
    anywhere: Share
    beyond: Annotated[float, Field(ge=1)]
    shares: tuple[Share, Share, Share]
    bent: Share
    orders: tuple[Share, Share, Share, Share]
    smooth: Share
    plain: Share
    curves: Share
    inverted: Share
    extracted: Share
    bias: Annotated[float, Field(ge=0)]
    blurred: Share
    coarse: Share
    gain: Annotated[float, Field(ge=0)]
    noise: Annotated[float, Field(ge=0)]
    cut: Share
    seed: int


class HeadTraining(Training):
    """Cubes of heads to the network that finds the brain."""

    classes: ClassVar[tuple] = ("other", "brain")
    dimensions: ClassVar[int] = 3


class Evaluate(Section):
    """Network to scores."""

    fold_sizes: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    fold_every: Count
    seed: int


class Network(Section):
    """One network of the section across: its brains, what it starts from, settings that differ.

    `kept` is the share of what it learned after the start that is kept (see `unet.go_back`),
    `general` names the brains of `General`.
    """

    brains: Annotated[list[str], Field(min_length=1)]
    general: list[str] = []
    start: str | None = None
    kept: Annotated[float, Field(gt=0, le=1)] = 1.0
    draw: dict = {}
    train: dict = {}


class General(Section):
    """What brains say of a network's answers to those it never saw (see `adaptation.general`)."""

    voxels: Count
    ridge: Annotated[float, Field(gt=0)]
    sizes_mm: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]]


class Across(Section):
    """Networks for brains of any species, trained on the zoo (see `patchseg.training.across`)."""

    brain_pixels: Annotated[float, Field(ge=16, le=1024)]
    draw: Draw
    train: Training
    general: General
    networks: dict[str, Network]


class Heads(Section):
    """Networks that find the brain in a head (see `patchseg.training.heads`)."""

    draw: HeadDraw
    train: HeadTraining
    networks: dict[str, Network]


class Deep(Section):
    """The network that finds deep grey matter (see `patchseg.training.deep_grey`)."""

    brain_pixels: Annotated[float, Field(ge=16, le=1024)]
    draw: DeepDraw
    train: DeepTraining
    networks: dict[str, Network]


class Calibration(Section):
    """What labelled voxels teach beside the network (see `patchseg.inference.calibration`)."""

    least_voxels: Count
    most_voxels: Count
    ridge: Annotated[float, Field(gt=0)]
    least_spread: Annotated[float, Field(gt=0)]


class Adapt(Section):
    """A network learns a new animal (see `patchseg.adaptation`)."""

    steps: Count
    more_steps: Annotated[int, Field(ge=0)]
    most_steps: Count
    round: Count
    batch_size: Count
    replay: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    fixed: list[str]
    in_plane: Share
    kept: Share
    alike: Annotated[float, Field(ge=1)]
    poor: Share
    enough: Share
    draw: Patches
    replayed: Patches
    calibration: Calibration


class Params(Section):
    """All of `params.yaml`."""

    dataset: str
    compare: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    tolerance: Annotated[float, Field(ge=0)]
    cell_timeout_s: Annotated[float, Field(gt=0)] | None = None
    preprocess: Preprocess
    augment: Augment
    train: Train
    evaluate: Evaluate
    recipes: dict[str, dict[Literal["preprocess", "augment", "train"], dict]]
    across: Across
    deep: Deep
    heads: Heads
    adapt: Adapt

    @model_validator(mode="after")
    def _seeds_differ(self):
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice; the same seed gives the same run")
        return self

    @model_validator(mode="after")
    def _patches_fit_network(self):
        step = 2 ** (self.train.levels - 1)
        if self.preprocess.patch_size % step:
            raise ValueError(
                f"patch_size {self.preprocess.patch_size} is not a multiple of {step}, as"
                f" {self.train.levels} levels need"
            )
        for size in self.evaluate.fold_sizes:
            if (size * self.preprocess.slice_size) % self.preprocess.patch_size:
                raise ValueError(
                    f"fold size {size} times slice_size {self.preprocess.slice_size} is not a"
                    f" multiple of patch_size {self.preprocess.patch_size}"
                )
        return self


@cache
def shipped():
    """Return the settings that come with the package: its own copy of the project's params.yaml."""
    here = Path(__file__).parent
    return load(next(path for path in (here / NAME, here.parent / NAME) if path.is_file()))


def load(path, recipe=None):
    """Read and check `params.yaml`.

    Parameters
    ----------
    path : str or Path
    recipe : str, optional
        Apply the overrides of this recipe.

    Returns
    -------
    params : Params

    Raises
    ------
    InputError
        Naming file, key, value and mend: not YAML, an unknown key or recipe, a value out of range.
    """
    path = Path(path)
    try:
        raw = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; start from the project's params.yaml") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: holds no sections; start from the project's params.yaml")
    params = check(path, Params, raw)
    for name in params.compare:
        if name not in params.recipes:
            raise InputError(
                f"{path}: compare names recipe '{name}', which is unknown; there are"
                f" {', '.join(params.recipes)}"
            )
    for name in params.recipes:
        check(path, Params, _override(raw, params.recipes[name]), f"recipes.{name}: ")
    if recipe is None:
        return params
    if recipe not in params.recipes:
        raise InputError(
            f"{path}: recipe '{recipe}' is unknown; there are {', '.join(params.recipes)}"
        )
    return check(path, Params, _override(raw, params.recipes[recipe]))


def _override(raw, overrides):
    return {**raw, **{section: {**raw[section], **values} for section, values in overrides.items()}}


def check(path, kind, raw, where=""):
    """Check values against a section; an InputError names `path`, `where`, key, value and mend."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        # a misspelt key is missing, too: name the misspelling
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise InputError(
                f"{path}: {where}key '{key}' (value {first['input']!r}) is"
                f" unknown{_suggestion(kind, first['loc'])}"
            ) from error
        if first["type"] == "missing":
            raise InputError(
                f"{path}: {where}key '{key}' is missing; the project's params.yaml shows a value"
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
        named = f"{key}{value}: " if key else ""
        raise InputError(f"{path}: {where}{named}{message}") from error


def _suggestion(section, location):
    for part in location[:-1]:
        if not hasattr(section, "model_fields"):
            return ""
        section = section.model_fields[part].annotation
    if not hasattr(section, "model_fields"):
        return ""
    close = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; use one of {', '.join(section.model_fields)}"
