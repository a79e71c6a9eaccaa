"""Run one notebook as one stage, with the settings of `params.yaml`: the same bytes each time."""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import papermill
from jupyter_client import AsyncKernelManager

from patchseg import params
from patchseg.core.errors import InputError
from patchseg.core.files import project_root, replacing
from patchseg.core.progress import SWITCH

NOTEBOOKS = {stage: f"{number}_{stage}" for number, stage in enumerate(params.STAGES, start=1)}


def strip(source, target):
    """Copy a notebook without what running it leaves behind.

    Without outputs, counters and metadata of the session, and with numbered cell ids. DVC then sees
    that a notebook changed only where its text did, not because somebody ran it.
    """
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    _write(_tidy(notebook), target)


def strip_metadata(path):
    """Drop from an executed notebook what differs between two runs of the same thing, in place.

    Its outputs stay.
    """
    _write(_tidy(nbformat.read(path, as_version=4)), path)


def run_stage(stage, recipe=None, out="."):
    """Run the notebook of a stage with the settings of `params.yaml`.

    Parameters
    ----------
    stage : {'preprocess', 'augment', 'train', 'evaluate'}
    recipe : str, optional
        A recipe of `params.yaml`; 'evaluate' takes all of them and needs none.
    out : str
        Folder, relative to the project, that gets `work/` and `artefacts/`.

    Raises
    ------
    InputError
        If stage, recipe or a setting is unknown, or the notebook does not know a parameter.
    """
    if stage not in NOTEBOOKS:
        raise InputError(f"stage '{stage}' is unknown; there are {', '.join(NOTEBOOKS)}")
    if (recipe is None) != (stage == "evaluate"):
        raise InputError(
            f"stage {stage} with recipe {recipe}: evaluate takes no recipe, the other stages"
            " need one"
        )
    root = project_root()
    notebook = root / "build" / "notebooks" / f"{NOTEBOOKS[stage]}.ipynb"
    if "DVC_STAGE" not in os.environ:  # DVC makes the copy in a stage of its own
        _refresh(root / "notebooks" / notebook.name, notebook)
    values = stage_parameters(root / "params.yaml", stage, recipe) | {"out": out}
    unknown = set(values) - set(papermill.inspect_notebook(notebook))
    if unknown:
        raise InputError(
            f"{notebook}: its parameters cell lacks {', '.join(sorted(unknown))}; add a default"
            " there"
        )
    target = root / out / "artefacts" / (recipe or "") / notebook.name
    timeout_s = params.load(root / "params.yaml").cell_timeout_s
    _execute(notebook, target, values, f"{stage} {recipe or ''}".strip(), root, timeout_s)


def _refresh(source, copy):
    """Make the stripped copy of a notebook again if it is not that of the notebook as it is now."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=copy.parent) as folder:
        new = Path(folder) / copy.name
        strip(source, new)
        if not copy.is_file() or copy.read_bytes() != new.read_bytes():
            new.replace(copy)


def stage_parameters(path, stage, recipe=None):
    """Return what a stage's notebook is given, from `params.yaml`: a dict of literals."""
    settings = params.load(path, recipe)
    if stage == "evaluate":
        grids = {name: params.load(path, name).preprocess.model_dump() for name in settings.compare}
        return {
            "dataset": settings.dataset,
            "evaluate": settings.evaluate.model_dump(),
            "seeds": settings.seeds,
            "recipes": grids,
        }
    values = {"dataset": settings.dataset, "recipe": recipe}
    values[stage] = getattr(settings, stage).model_dump()
    return values | ({"seeds": settings.seeds} if stage == "train" else {})


def _execute(notebook, target, values, title, root, timeout_s):
    started = time.monotonic()
    for left_by_a_kill in target.parent.glob(".partial-*"):
        left_by_a_kill.unlink()
    print(f"{title}: started", flush=True)
    log = root / "build" / "log" / f"{title.replace(' ', '-')}.txt"
    with replacing(target) as temporary:
        try:
            execute(notebook, temporary, values, title, log, root, sys.stdout, timeout_s)
        except InputError as error:
            failed = root / "build" / "failed" / target.name
            _write(nbformat.read(temporary, as_version=4), failed)
            raise InputError(f"{error} (the notebook up to there: {failed})") from error
        strip_metadata(temporary)
    print(f"{title}: done in {time.monotonic() - started:.0f} s", flush=True)


def execute(notebook, target, values, title, log, folder, stdout=None, timeout_s=None):
    """Run a notebook by papermill.

    Parameters
    ----------
    notebook, target : Path
        Read, and written with its outputs.
    values : dict
        Its parameters.
    title : str
        Named in the error.
    log : Path
        Gets what the notebook's process says on standard error, such as TensorFlow's greeting.
    folder : Path
        In which it runs.
    stdout : file, optional
        Gets what its cells print.
    timeout_s : float, optional
        A cell that takes longer is taken for hung; none is unless given.

    Raises
    ------
    InputError
        If a cell fails or takes too long; `target` then holds the notebook up to there.
    """
    options = {
        "kernel_name": "python3",
        "progress_bar": False,
        "stdout_file": stdout,
        "execution_timeout": timeout_s,
        "store_widget_state": False,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as said:
        options["kernel_manager_class"] = _kernels(said)
        try:
            papermill.execute_notebook(
                str(notebook), str(target), values, cwd=str(folder), **options
            )
        except papermill.PapermillExecutionError as error:
            raise InputError(
                f"{title}: {error.ename}: {error.evalue} (other messages: {log})"
            ) from error
        except TimeoutError as error:
            raise InputError(
                f"{title}: a cell took longer than {timeout_s:g} s; raise cell_timeout_s in"
                f" params.yaml, or set it to null (other messages: {log})"
            ) from error


def _kernels(log):
    """Return a class of kernels without progress bars, whose standard error goes to an open file.

    This process stays as it is.
    """

    class Kernels(AsyncKernelManager):
        async def start_kernel(self, **options):
            own = {"env": os.environ | {SWITCH: "off"}, "stderr": log}
            return await super().start_kernel(**options | own)

    return Kernels


def _tidy(notebook):
    """Drop what differs between two runs of the same thing: times, ids, kernel, standard error."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        cell.id = f"cell-{number:02d}"
    return notebook


def _write(notebook, target):
    nbformat.validate(notebook)
    with replacing(Path(target)) as temporary:
        nbformat.write(notebook, temporary)
