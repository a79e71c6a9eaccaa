"""The command `patchseg`."""
