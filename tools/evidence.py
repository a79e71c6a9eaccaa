"""Run notebook 7 on the tables of artefacts/across: the last stage of evidence/dvc.yaml.

The result has the same bytes each time.
"""

import sys

from patchseg import pipeline
from patchseg.core.files import project_root, replacing

root = project_root()
with replacing(root / "artefacts" / "across" / "7_evidence.ipynb") as temporary:
    pipeline.execute(
        root / "notebooks" / "7_evidence.ipynb",
        temporary,
        {},
        "evidence",
        root / "build" / "log" / "evidence.txt",
        root,
        sys.stdout,
    )
    pipeline.strip_metadata(temporary)
