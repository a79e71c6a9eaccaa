"""Images as tasks of a Dask cluster: one that runs already, or one that a queue starts."""

import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from patchseg import __version__
from patchseg.core import runtime
from patchseg.core.errors import InputError
from patchseg.core.progress import say

QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster"}
"""Names to give in the place of a scheduler's address, and their classes in dask-jobqueue."""
SUBMITS = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub"}
"""Their programs that submit a job."""
WAIT = "10s"
"""For an answer of the scheduler."""
_ALONE = threading.Lock()
"""Of a worker: its memory is for one image, however many threads it has."""


class LostError(Exception):
    """The scheduler is gone, and with it the images that were not done."""


def killed(times):
    """Say why an image is given up that took its workers with it."""
    often = "once" if times == 1 else f"{times} times"
    return (
        f"its worker was killed {often}, probably because memory ran out; give the workers"
        " more memory (segment: or use a --tile of 256), then run the same command again"
    )


@contextmanager
def connected(where, jobs=1, settings=None):
    """Connect to a cluster meanwhile; one that a queue starts ends afterwards.

    Parameters
    ----------
    where : str
        Address of a scheduler, such as ``tcp://head:8786``, or 'slurm', 'pbs' or 'sge'.
    jobs : int
        Jobs in the queue, each with one worker.
    settings : Path, optional
        Dask's configuration (YAML) with the section `jobqueue`; without it Dask's own files count.

    Yields
    ------
    client : distributed.Client

    Raises
    ------
    InputError
        If Dask is not installed, no scheduler answers, or the queue's settings lack something.
    """
    if where not in QUEUES and "://" not in where:
        raise InputError(
            f"--cluster '{where}': neither the address of a Dask scheduler, such as"
            f" tcp://head:8786, nor a queue ({', '.join(QUEUES)})"
        )
    dask, distributed = _dask(where in QUEUES)
    with dask.config.set(dask.config.merge(dask.config.config, _read(settings))):
        if where in QUEUES:
            with _queue(where, jobs) as started, distributed.Client(started) as client:
                yield client
            return
        try:
            client = distributed.Client(where, timeout=WAIT, set_as_default=False)
        except (OSError, ValueError, TypeError, ImportError) as error:
            raise InputError(
                f"--cluster {where}: no Dask scheduler answers there ({error}); start one with"
                f" 'dask scheduler', or name a queue: {', '.join(QUEUES)}"
            ) from error
        with client:
            yield client


def _dask(queue):
    """Import Dask, and what brings the default settings of queues."""
    try:
        import dask
        import distributed

        if queue:
            import dask_jobqueue  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"--cluster needs {error.name}, which is not installed; pip install 'patchseg[cluster]'"
            " here and for the workers"
        ) from error
    return dask, distributed


def _read(settings):
    if settings is None:
        return {}
    try:
        read = YAML(typ="safe").load(Path(settings))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{settings}: cannot be read as YAML ({error}); check it") from error
    if not isinstance(read, dict):
        raise InputError(f"{settings}: holds no settings; write 'jobqueue:' and a queue below it")
    return read


def _queue(where, jobs):
    """Start a cluster whose workers are jobs of a queue."""
    import dask
    import dask_jobqueue

    try:
        processes = dask.config.get(f"jobqueue.{where}.processes", None) or 1
        started = getattr(dask_jobqueue, QUEUES[where])(processes=processes)
    except (ValueError, TypeError) as error:
        said = str(error).partition(", for")[0]
        raise InputError(
            f"--cluster {where}: {said}; write cores and memory below 'jobqueue: {where}:'"
            " in a file (--cluster-settings)"
        ) from error
    if jobs and not shutil.which(SUBMITS[where]):
        started.close()
        raise InputError(
            f"--cluster {where}: there is no {SUBMITS[where]} here; run the command where jobs are"
            " submitted"
        )
    started.scale(jobs=jobs)
    return started


def results(client, function, calls):
    """Call a function on a cluster, and return what comes of it, in the order in which it comes.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        Known to the workers by its name. One call at a time runs in a worker, with its threads.
    calls : list of tuple
        The arguments of each call.

    Yields
    ------
    number : int
        Of the call.
    result : object
        What the function returned, or an Exception.

    Raises
    ------
    LostError
        If the scheduler is gone.
    """
    from distributed import as_completed

    address = client.scheduler.address
    futures = {
        client.submit(_work, __version__, function, call, pure=False, retries=0): number
        for number, call in enumerate(calls)
    }
    if not client.scheduler_info()["workers"]:
        say(f"waiting for the first worker of {address}")
    for future in as_completed(futures, loop=client.loop):
        result = _result(future)
        if future.status == "cancelled":
            raise LostError(
                f"the scheduler {address} is gone; start it again and run the same command again"
            )
        yield futures[future], result


def _result(future):
    """Return what a task returned, or why it did not.

    A worker may be killed after its task and before it has handed over the result.
    """
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        return InputError(killed(error.allowed_failures + 1))
    except ImportError as error:
        return InputError(f"a worker lacks something ({error}); install this patchseg there")
    except Exception as error:
        return error


def _work(version, function, call):
    """Call a function in a worker."""
    from distributed import get_worker

    worker = get_worker()
    if version != __version__:
        raise InputError(
            f"the worker {worker.address} has patchseg {__version__}, the command {version};"
            " install the same"
        )
    with _ALONE:
        runtime.set_threads(worker.state.nthreads)
        return function(*call)
