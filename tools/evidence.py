"""Run notebook 7 on the tables of artefacts/across: the last stage of evidence/dvc.yaml."""

import sys

from patchseg import pipeline
from patchseg.core.files import project_root, replacing

root = project_root()
notebook, log = root / "notebooks" / "7_evidence.ipynb", root / "build" / "log" / "evidence.txt"
with replacing(root / "artefacts" / "across" / notebook.name) as temporary:
    pipeline.execute(notebook, temporary, {}, "evidence", log, root, sys.stdout)
    pipeline.strip_metadata(temporary)
