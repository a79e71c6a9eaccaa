"""Execute the notebooks at smoke size: the references of the regression tests."""

import os
import shutil

import nbformat
import papermill

from patchseg import pipeline
from patchseg.core.files import project_root
from patchseg.core.progress import SWITCH

root = project_root()
os.environ[SWITCH] = "off"
shutil.rmtree(root / "build" / "scratch", ignore_errors=True)
for name in [*pipeline.NOTEBOOKS.values(), "5_segment", "6_adapt", "7_evidence"]:
    target = root / "tests" / "reference" / f"{name}.ipynb"
    target.parent.mkdir(exist_ok=True)
    papermill.execute_notebook(
        str(root / "notebooks" / target.name),
        str(target),
        kernel_name="python3",
        progress_bar=False,
        cwd=str(root),
    )
    pipeline.strip_metadata(target)
    nbformat.validate(nbformat.read(target, as_version=4))
    print(target.relative_to(root))
