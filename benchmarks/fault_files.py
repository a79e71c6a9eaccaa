"""Damaged and hostile files for `faults.py`: images through the reader, weights and their cards."""

import json
import logging
import resource
import shutil
import signal
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from patchseg.core.errors import InputError
from patchseg.images import brain, grid, volume

LIMIT_S, LIMIT_BYTES = 20, 2 * 2**30
HEADER = {".nii": 352, ".mgh": 284}
ODD = ("u1", "<i2", ">i2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8")
VALUES = (0, -1, 1, 127, 32767, 2**31 - 1, 1e-42, -0.0, 1e38, np.nan, np.inf, -np.inf)
CHUNK = 250


def originals(folder):
    """Write the small images that are damaged; return their paths."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (18, 16, 14)], indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    data = np.select([radius < 0.4, radius < 0.6, radius < 0.8], [90, 60, 30], 0).astype(np.float32)
    whole, affine = data.astype(np.int16), np.diag([-2.0, 2, 3, 1])
    swapped = nib.Nifti1Header(endianness=">")
    scaled = nib.Nifti1Image(whole, affine)
    scaled.header.set_slope_inter(0.5, 10)
    made = {
        "float.nii": nib.Nifti1Image(data, affine),
        "scaled.nii": scaled,
        "swapped.nii": nib.Nifti1Image(whole, affine, swapped),
        "two.nii": nib.Nifti2Image(data, affine),
        "packed.nii.gz": nib.Nifti1Image(whole, affine),
        "plain.mgh": nib.MGHImage(data, affine),
        "packed.mgz": nib.MGHImage(data, affine),
    }
    for name, image in made.items():
        nib.save(image, folder / name)
    return [folder / name for name in made]


def damaged(raw, header, draw):
    """Return bytes of an image in which something is wrong.

    Parameters
    ----------
    raw : bytes
    header : int
        Its length.
    draw : numpy.random.Generator
    """
    raw = bytearray(raw)
    where = int(draw.integers(0, header if draw.random() < 0.8 else len(raw)))
    match draw.choice(["bytes", "word", "word", "word", "cut", "longer", "zeros", "turned"]):
        case "bytes":
            for place in draw.integers(0, header, draw.integers(1, 9)):
                raw[place] = draw.integers(0, 256)
        case "word":
            word = np.dtype(str(draw.choice(ODD)))
            with np.errstate(all="ignore"):
                value = np.asarray(draw.choice(VALUES)).astype(word).tobytes()
            where -= where % word.itemsize
            raw[where : where + len(value)] = value
        case "cut":
            del raw[int(draw.integers(0, len(raw))) :]
        case "longer":
            raw += draw.bytes(int(draw.integers(1, 5000)))
        case "zeros":
            raw[where : where + 64] = bytes(64)
        case "turned":
            size = int(draw.choice([2, 4, 8]))
            where -= where % size
            raw[where : where + size] = raw[where : where + size][::-1]
    return bytes(raw)


def mutate(path, draw):
    """Return damaged bytes of an image; of a compressed one, inside or outside of the gzip."""
    raw = path.read_bytes()
    header = HEADER[".mgh" if path.suffix in (".mgh", ".mgz") else ".nii"]
    if not path.suffix.endswith("z"):
        return damaged(raw, header, draw)
    if draw.random() < 0.4:
        return damaged(raw, len(raw), draw)
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(damaged(zlib.decompress(raw, 47), header, draw)) + packer.flush()


def read(path, fill=False):
    """Say what becomes of an image: 'answer', 'refused', or what is wrong with it."""
    try:
        data, affine = grid.ras(volume.read(path, fill=fill))
        mask = brain.foreground(data, path)
        ready = brain.normalise(data, mask, path=path)
    except InputError as error:
        if isinstance(error.__cause__, MemoryError):
            return "absurd memory"
        return "refused" if str(path) in str(error) else "file not named"
    except (TimeoutError, MemoryError) as error:
        return "over 20 s" if isinstance(error, TimeoutError) else "absurd memory"
    except Exception as error:
        return type(error).__name__
    right = (
        data.ndim == 3
        and np.isfinite(data).all()
        and np.isfinite(affine).all()
        and mask.shape == data.shape
        and mask.any()
        and 0 <= ready.min() <= ready.max() == 1
        and not ready[~mask].any()
    )
    return "answer" if right else "wrong answer"


@contextmanager
def in_time(limit_s=LIMIT_S):
    """Raise TimeoutError in what takes longer."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limit_memory(more=LIMIT_BYTES):
    """Let this process take so many bytes more than it has; nibabel's remarks are not shown."""
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def tried(seed, numbers):
    """Damage images and read them; return how often what came of it, and the slowest (s)."""
    found, slowest = Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        paths = originals(Path(folder))
        for number in numbers:
            draw = np.random.default_rng([seed, number])
            source = paths[number % len(paths)]
            path = Path(folder) / f"damaged{''.join(source.suffixes)}"
            path.write_bytes(mutate(source, draw))
            started = time.monotonic()
            with in_time():
                found[read(path, fill=draw.random() < 0.25)] += 1
            slowest = max(slowest, time.monotonic() - started)
    return found, slowest


def reader(seed=0, count=10_000, jobs=2):
    """Damage so many images; return (what, how often, what came of it, faults) in one row."""
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    found, slowest = Counter(), 0.0
    with ProcessPoolExecutor(jobs, initializer=limit_memory) as pool:
        for chunk in [pool.submit(partial(tried, seed), chunk) for chunk in chunks]:
            try:
                some, seconds = chunk.result()
            except BrokenProcessPool:
                some, seconds = Counter(killed=1), 0.0
            found, slowest = found + some, max(slowest, seconds)
    said = ", ".join(f"{number} {what}" for what, number in found.most_common())
    faults = sum(number for what, number in found.items() if what not in ("answer", "refused"))
    return [("damaged images, read", count, f"{said}; slowest {slowest:.2f} s", faults)]


def _card(card, draw, sentinel):
    """Change a card: a value that is absurd, of another kind, or code."""
    code = f"__import__('os').system('touch {sentinel}')"
    odd = [None, True, -1, 0, 10**9, 1e308, "x", code, {"__reduce__": code}, [[1] * 9], [2048] * 6]
    architecture = card["architecture"]
    known = [*architecture, "dimensions", "code"]
    if draw.random() < 0.7:
        for _ in range(int(draw.integers(1, 4))):
            architecture[str(draw.choice(known))] = odd[draw.integers(len(odd))]
    else:
        names = ["top", "brain_pixels", "sizes_mm", "contrasts", "calibration", "architecture"]
        card[str(draw.choice(names))] = odd[draw.integers(len(odd))]
    return card


def _h5(path, draw, sentinel):
    """Change a file of weights: its bytes, or an array into one that is huge, elsewhere or odd."""
    import h5py

    if draw.random() < 0.5:
        path.write_bytes(damaged(path.read_bytes(), path.stat().st_size, draw))
        return
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, one: names.append(name) if hasattr(one, "dtype") else None)
        name, shape = (one := names[draw.integers(len(names))]), file[one].shape
        match draw.choice(["huge", "sparse", "elsewhere", "link", "text", "nan", "code"]):
            case "huge":
                del file[name]
                file.create_dataset(name, (3, 3, 20000, 20000), "f4", chunks=(1, 1, 100, 100))
            case "sparse":
                del file[name]
                file.create_dataset(name, (10**12,), "f4", chunks=(1000,), compression="gzip")
            case "elsewhere":
                del file[name]
                outside = [("/etc/passwd", 0, 4 * int(np.prod(shape)))]
                file.create_dataset(name, shape, "f4", external=outside)
            case "link":
                del file[name]
                file[name] = h5py.ExternalLink("/etc/passwd", "x")
            case "text":
                del file[name]
                file[name] = "x"
            case "nan":
                file[name][...] = np.nan
            case "code":
                layer = {"class_name": "Lambda", "config": {"function": f"open('{sentinel}', 'w')"}}
                file.attrs["model_config"] = json.dumps(layer)


def _loaded(path):
    from patchseg.inference import networks

    try:
        with in_time():
            networks.load(path)
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, MemoryError | TimeoutError):
            return "over 20 s" if isinstance(cause, TimeoutError) else "absurd memory"
        return "refused" if path.name.split(".")[0] in str(error) else "file not named"
    except Exception as error:
        return type(error).__name__
    return "loaded"


def weights(source, seed=0, count=200):
    """Change weights or their card so that their sums fit; return a row as `reader`.

    Parameters
    ----------
    source : Path
        Weights with a card.
    """
    from patchseg import checkpoint

    found, slowest, peak = Counter(), 0.0, 0
    _loaded(source)  # starts TensorFlow
    limit_memory(4 * LIMIT_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        sentinel = Path(folder) / "ran"
        for number in range(count):
            draw, path = (
                np.random.default_rng([seed, number]),
                Path(folder) / f"odd{number}.weights.h5",
            )
            shutil.copy(source, path)
            card = json.loads(checkpoint.card_path(source).read_text(encoding="utf-8"))
            if number % 2:
                card = _card(card, draw, sentinel)
            else:
                _h5(path, draw, sentinel)
            text = json.dumps(card | {"sha256": checkpoint.sha256(path)})
            checkpoint.card_path(path).write_text(text, encoding="utf-8")
            started = time.monotonic()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found[_loaded(path)] += 1
            peak = max(peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            slowest = max(slowest, time.monotonic() - started)
            path.unlink()
        ran = sentinel.exists()
    said = ", ".join(f"{n} {what}" for what, n in found.most_common())
    faults = sum(n for what, n in found.items() if what not in ("loaded", "refused"))
    faults += ran + (peak * 1024 > LIMIT_BYTES)
    said += f"; code ran: {'yes' if ran else 'no'}; slowest {slowest:.1f} s, {peak / 1024:.0f} MB"
    return [("damaged and hostile weights and cards", count, said, faults)]
