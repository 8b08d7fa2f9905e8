"""CPU of a process without its vCPU threads, measured on this very process."""

import os
import threading
import time

import pytest

from ramferry.control.hosts.cpu import CpuMeter, owner_of, percent, qemu_pid


def burn(seconds: float) -> None:
    """Use so much CPU time of the calling thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_vcpu_threads_time_does_not_count() -> None:
    ready, leave = threading.Event(), threading.Event()

    def guest() -> None:
        burn(0.3)
        ready.set()
        leave.wait()

    vcpu = threading.Thread(target=guest)
    vcpu.start()
    try:
        assert vcpu.native_id is not None
        whole, mine = CpuMeter(os.getpid(), ()), CpuMeter(os.getpid(), (vcpu.native_id,))
        ready.wait()
        all_of_it, without = whole.seconds(), mine.seconds()
        assert all_of_it is not None
        assert without is not None
        assert all_of_it - without == pytest.approx(0.3, abs=0.05)
    finally:
        leave.set()
        vcpu.join()


def test_time_of_threads_that_ended_stays() -> None:
    meter = CpuMeter(os.getpid(), ())
    before = meter.seconds()
    worker = threading.Thread(target=burn, args=(0.2,))
    worker.start()
    worker.join()
    after = meter.seconds()
    assert before is not None
    assert after is not None
    assert after - before >= 0.15


def test_a_remote_or_ended_process_has_no_time() -> None:
    assert CpuMeter(None, ()).seconds() is None
    assert CpuMeter(2**22 + 1, ()).seconds() is None  # beyond any kernel's pid_max


def test_percent_of_one_core_with_the_relays_time() -> None:
    assert percent(10.0, 11.0, 0.5, 2000) == pytest.approx(75.0)
    assert percent(10.0, 9.99, 0.0, 2000) == 0.0
    assert percent(None, 1.0, 0.5, 2000) is None
    assert percent(1.0, None, 0.5, 2000) is None
    assert percent(1.0, 2.0, 0.5, 0) is None


def test_the_vcpu_threads_must_belong_to_the_process() -> None:
    mine = threading.get_native_id()
    assert qemu_pid(os.getpid(), (mine,)) == os.getpid()
    assert qemu_pid(os.getppid(), (mine,)) is None
    assert qemu_pid(None, (mine,)) is None
    assert qemu_pid(os.getpid(), ()) is None


def test_a_thread_of_another_program_is_no_qemus() -> None:
    assert owner_of(threading.get_native_id()) is None
    assert owner_of(2**22 + 1) is None
