"""Runs Python scripts in forks of a process that has the libraries loaded. A script itself.

Loading boto3, pyiceberg and numba costs a job several seconds of processor time, a fork nothing.
Only third-party libraries are loaded here: the product's own code is read anew by every job.

Arguments: number of the control socket, then modules to load. A request is one packet, JSON
``{"script", "arguments", "environment", "cwd"}``, with three descriptors: the script's input, its
output, and where to report its end. It is answered with the process id; the report is the exit code
in ASCII.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

PACKET = 1 << 20


def main(control: socket.socket, modules: list[str]) -> None:
    """Load the modules, then serve until the other end of the socket closes."""
    for module in modules:
        importlib.import_module(module)
    if "numba" in modules:
        _set_up_numba()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    reports: dict[int, int] = {}
    waiting = selectors.DefaultSelector()
    waiting.register(control, selectors.EVENT_READ)
    waiting.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is control:
                request, descriptors, _flags, _address = socket.recv_fds(control, PACKET, 3)
                if not request:
                    return
                given, output, report = descriptors
                unwanted = (control.fileno(), woken, wake, report, *reports.values())
                pid = _fork(json.loads(request), given, output, unwanted)
                os.close(given)
                os.close(output)
                reports[pid] = report
                control.send(str(pid).encode())
            else:
                os.read(woken, PACKET)
        _report_ended(reports)


def _set_up_numba() -> None:
    """Compile something: numba prepares its compiler at the first call, for a second."""
    import numba
    import numpy as np

    numba.njit(lambda values: values.sum() + values[0])(np.ones(2))


def _report_ended(reports: dict[int, int]) -> None:
    for pid in list(reports):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            report = reports.pop(pid)
            os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(report)


def _fork(request: dict[str, Any], given: int, output: int, unwanted: tuple[int, ...]) -> int:
    """Fork a process in a process group of its own; returns its process id."""
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor, source in ((0, given), (1, output), (2, output)):
            os.dup2(source, descriptor)
        for descriptor in (given, output, *unwanted):
            os.close(descriptor)
        _run(request)
    # Both do it, so that it is done for whoever is first; here the child may have ended already.
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)
    return pid


def _run(request: dict[str, Any]) -> NoReturn:
    """Run the script as ``python script arguments`` would; the process ends with its exit code."""
    faulthandler.enable()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = [request["script"], *request["arguments"]]
    code = 0
    try:
        runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as ended:
        code = _exit_code(ended)
    except BaseException:  # noqa: BLE001 - what the interpreter does at the top level
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _exit_code(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return (ended.code or 0) & 0xFF
    sys.stderr.write(f"{ended.code}\n")
    return 1


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
