"""Write scores on species never seen, and limits, into the card of the package's weights."""

import json

import pandas as pd

from patchseg import checkpoint
from patchseg.core.files import project_root, write_text

LIMITS = [
    "In a whole head the brain is found first, by other weights: look at the outline.",
    "Species it never saw: see the scores. Rodents: three mice only, in T2w.",
    "T2w: one real chimpanzee's, three mice's, and made-up contrasts; look at the result.",
    "Newborns and foetuses: made-up contrasts and shapes only, no real one.",
    "Sulcal CSF of the animals was not labelled in the training.",
    "Lesions, tumours and large malformations are untested.",
]

table = pd.read_csv(project_root() / "artefacts" / "zoo" / "segmentation.csv")
ours = table[table.method == "patchseg"].set_index("brain")
path = checkpoint.card_path(checkpoint.SHIPPED)
known = json.loads(path.read_text(encoding="utf-8"))
known["scores"] = {
    brain: {
        "network": row.network,
        **{f"dice_{tissue}": round(row[f"dice_{tissue}"], 3) for tissue in ("CSF", "GM", "WM")},
        "key": row.key,
    }
    for brain, row in ours.iterrows()
}
known["scores_from"] = (
    "networks that never saw the species (human-nii2mesh: never saw the person),"
    " artefacts/across/networks"
)
known["limits"] = LIMITS
write_text(path, json.dumps(known, indent=2, ensure_ascii=False) + "\n")
