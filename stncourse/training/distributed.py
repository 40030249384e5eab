"""Training in several processes, on one machine or more, started by ``torchrun``.

Each process takes its share of every batch, and the gradients are added up, so that all keep the same weights and the
run is that of one process: gloo on the CPU, nccl on GPUs.
"""

import collections
import contextlib
import datetime
import os
import pickle
import re
import signal
import sys
import threading

import torch

from stncourse.device import resolve_device
from stncourse.training.model_state import put_into, tensors_of

_PATIENCE = datetime.timedelta(minutes=5)  # without a word from the others


class ProcessLost(RuntimeError):
    """Another process of this training has ended, or cannot be reached any more."""


class Alone:
    """One process, which has nobody to talk to. What it says about each method holds for :class:`Together` too."""

    rank, size = 0, 1

    def loss(self, model, images, labels, objective):
        """This process's part of the batch's mean loss: the parts add up to it."""
        return objective.mean(model(images), labels)

    def sum(self, *numbers):
        """Each number, added up over the processes, as floats."""
        return [float(number) for number in numbers]

    def any(self, flag):
        """Whether the flag is set in any process."""
        return flag

    def backward(self, loss, model):
        """Gradients of the whole batch's loss, in every process."""
        loss.backward()

    def share(self, count, rank=None):
        """The part of ``count`` items that is this process's, or that of another ``rank``: a slice."""
        rank = self.rank if rank is None else rank
        return slice(count * rank // self.size, count * (rank + 1) // self.size)

    def first(self, function):
        """What ``function`` returns, or raises, in the first process; it is called there only."""
        return function()

    def start_alike(self, model, description):
        """Take the first process's weights. ValueError, when the processes do not train the same."""


class Together(Alone):
    """One of several processes that train one model; made by :func:`processes`."""

    def __init__(self, device):
        import torch.distributed

        self.comm = torch.distributed
        self.rank, self.size = self.comm.get_rank(), self.comm.get_world_size()
        self.device = device if self.comm.get_backend() == "nccl" else torch.device("cpu")
        # A tensor that lives on in a thread of gloo only waits there for Python's lock to be freed; and who closes the
        # group waits for that thread, in torch 2.6 with the lock in hand. So the last tensors outlive the group.
        self.sent = collections.deque(maxlen=8)

    def loss(self, model, images, labels, objective):
        mine = self.share(len(labels))
        if mine.start == mine.stop:  # fewer images than processes
            return torch.zeros((), device=images.device)
        # Not the mean of means: shares need not be of one size.
        return objective.sum(model(images[mine]), labels[mine]) / len(labels)

    def sum(self, *numbers):
        numbers = torch.tensor([float(n) for n in numbers], dtype=torch.float64, device=self.device)
        return self._reduce(numbers).tolist()

    def any(self, flag):
        return self.sum(bool(flag))[0] > 0

    def backward(self, loss, model):
        if loss.requires_grad:
            loss.backward()
        parameters = [p for p in model.parameters() if p.requires_grad]
        # In one message, with a mark for each parameter that has a gradient at all: without one it is to stay as it is.
        marks = [p.new_tensor([p.grad is not None]) for p in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        dtype = torch.float64 if any(p.dtype == torch.float64 for p in parameters) else torch.float32
        message = self._reduce(torch.cat([t.flatten().to(self.device, dtype) for t in marks + gradients]))
        marked, *sums = message.split([len(parameters), *(p.numel() for p in parameters)])
        for parameter, mark, total in zip(parameters, marked.tolist(), sums, strict=True):
            if mark:
                parameter.grad = total.view_as(parameter).to(parameter)

    def first(self, function):
        said = [None, None]
        if self.rank == 0:
            try:
                said[0] = function()
            except Exception as error:
                said[1] = error
        data = pickle.dumps(said) if self.rank == 0 else b""
        size = self._broadcast(torch.tensor([len(data)], device=self.device))
        wire = torch.frombuffer(bytearray(data or int(size)), dtype=torch.uint8).to(self.device)
        said = pickle.loads(self._broadcast(wire).cpu().numpy().tobytes())
        if said[1] is not None:
            raise said[1]
        return said[0]

    def start_alike(self, model, description):
        theirs = self.first(lambda: description)
        different = sorted(name for name in description if theirs[name] != description[name])
        if self.any(different):  # all leave together
            names = ", ".join(different) or "arguments"
            raise ValueError(f"{names}: expected the same in every process of a training, process {self.rank} differs")
        tensors = {}
        for name, tensor in tensors_of(model).items():
            # As bytes, as not every dtype can be sent.
            wire = tensor.detach().to(self.device).contiguous().flatten().view(torch.uint8)
            wire = self._broadcast(wire) if len(wire) else wire
            tensors[name] = wire.view(tensor.dtype).view(tensor.shape)
        put_into(model, tensors)

    def _reduce(self, tensor):
        self.sent.append(tensor)
        with _losing():
            self.comm.all_reduce(tensor)
        return tensor

    def _broadcast(self, tensor):
        """The first process's tensor."""
        self.sent.append(tensor)
        with _losing():
            self.comm.broadcast(tensor, src=0)
        return tensor


@contextlib.contextmanager
def _losing():
    try:
        yield
    except ProcessLost:
        raise
    except RuntimeError as error:  # DistBackendError is one
        reason = re.sub(r"^\[\S+\] ", "", str(error).strip()).split(". ")[0].splitlines()[0]
        raise ProcessLost(
            f"another process of this training has ended, or cannot be reached any more ({reason})"
        ) from error


def current():
    """The processes that this one belongs to: :class:`Together` inside :func:`processes`, else :class:`Alone`."""
    return _current


_current = Alone()


@contextlib.contextmanager
def processes(device="auto"):
    """While it lasts, ``fit`` trains together with the other processes that ``torchrun`` has started.

    Not started by torchrun, it does nothing. In a script ``mine.py``, run by ``torchrun --nproc-per-node=4 mine.py``::

        with processes() as (group, device):
            history = fit(model, train, test, recipe, device)  # the same call in every process
            if group.rank == 0:
                save_weights(model, {}, "weights.safetensors")

    Every process gets the same arguments. ``batch_size`` is that of all processes together: each computes its share,
    and augmentations are drawn for the whole batch, so that the losses are those of one process, up to rounding. That
    does not hold with dropout: each process draws masks of its own. Layers that mix the images of a batch, such as
    BatchNorm, see their process's share only.

    On Windows set ``USE_LIBUV=0`` before ``torchrun``: torch has no libuv there.

    Args:
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``: then each process of a machine takes a GPU of its own.

    Yields:
        ``(group, device)``: ``group.rank`` from 0, ``group.size``; the ``torch.device`` to give to ``fit``.

    Raises:
        ValueError: more processes than GPUs, or no such device.
        ProcessLost (a RuntimeError), while it lasts: another process has ended. At the latest five minutes after.
    """
    global _current
    if sys.platform == "win32":
        os.environ.setdefault("USE_LIBUV", "0")  # torch is built without it there, and asks for it all the same
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield _current, resolve_device(device)
        return
    # Imported before there is a process group: imported later, as torch does by itself when an optimizer is made, its
    # functions keep the group as a default argument for ever, and with it threads that may abort Python's exit.
    import torch.distributed.nn

    device = resolve_device(device)
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", 0))
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"device: expected a GPU for each process, this machine has {torch.cuda.device_count()} and this is "
                f"process {local + 1}; fewer with --nproc-per-node, or use the cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        device = torch.device("cpu")  # no other device speaks to others
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    before, together = _current, Together(device)
    try:
        _current = together
        with _told_to_end():
            yield together, device
    finally:
        _current = before
        with contextlib.suppress(RuntimeError):  # where the others are lost already
            torch.distributed.destroy_process_group()
        together.sent.clear()


@contextlib.contextmanager
def _told_to_end():
    """torchrun ends the others when one process fails: let them say so, and not fall silent."""

    def on_signal(number, frame):
        raise ProcessLost("told to end (SIGTERM), as torchrun does when another process of this training has failed")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
