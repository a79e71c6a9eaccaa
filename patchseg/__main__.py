"""`python -m patchseg` is the command `patchseg`."""

from patchseg.cli import main

main()
