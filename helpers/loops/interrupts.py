"""Ctrl-C between two steps, and a batch that does not fit into memory."""

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that the loop looks at between steps; the second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def explained_out_of_memory(inputs: Mapping[str, Tensor]) -> Iterator[None]:
    """Name the shapes of a batch that does not fit into the device's memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        shapes = {name: tuple(part.shape) for name, part in inputs.items()}
        raise torch.OutOfMemoryError(
            f"a batch of {shapes} does not fit: take a smaller batch_size (with accumulate=...), or shorter texts"
        ) from error
