"""`python -m patchseg` is the command `patchseg`."""

from patchseg.cli.main import main

main()
