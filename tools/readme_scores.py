"""Put the score table into the README, between its two markers."""

from patchseg.files import project_root, replacing

START, END = "<!-- scores: made by make repro -->\n", "<!-- end of scores -->\n"

root = project_root()
readme, table = (root / "README.md").read_text(), (root / "artefacts" / "scores.md").read_text()
before, rest = readme.split(START)
with replacing(root / "README.md") as temporary:
    temporary.write_text(before + START + table + END + rest.split(END)[1])
