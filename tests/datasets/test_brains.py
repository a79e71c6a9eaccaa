from patchseg.datasets import brains, zoo


def test_a_brain_is_its_files_and_their_coding(monkeypatch):
    one = zoo.entry("chimp")
    _, coding, found = brains.identity("chimp")
    assert coding == one.coding and set(found) == {file.sha256 for file in one.files.values()}
    assert brains.identity("chimp") != brains.identity("chimp-t2")
    assert len(brains.identity(brains.TEMPLATE)[2]) == 3
