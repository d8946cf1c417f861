"""The emulator process."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from tradelake.errors import ConfigError
from tradelake.local.children import Children
from tradelake.local.emulator.forks import ForkHost, Launcher
from tradelake.local.emulator.functions import FunctionRunner
from tradelake.local.emulator.jobs import JobRunner
from tradelake.local.emulator.options import NOT_INHERITED, EmulatorOptions, child_environment

_PARENT_POLL_S = 0.5


def run_emulator(options: EmulatorOptions, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end; then end every job and function and return.

    Call it in the main thread of a process of its own: moto is changed for good. When it listens it
    prints one line, ``{"event": "ready", "url": ..., "port": ...}``, to standard
    output, or calls ``ready`` with that line.

    Raises
    ------
    ConfigError
        The address is in use, or moto is of another version.
    """
    listener = _listen(options)
    port = listener.getsockname()[1]
    url = f"http://{options.host}:{port}"
    environment = child_environment(os.environ, options, url)
    _forget_accounts()
    children = Children()
    forks = ForkHost(environment)
    children.adopt(lambda: forks.process)
    try:
        launcher = Launcher(children, forks, environment, options.project_root)
        jobs = JobRunner(launcher, options.slots)
        functions = FunctionRunner(launcher, options.slots)
        server = _make_server(listener, jobs, functions)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
        (ready or _print_line)(json.dumps({"event": "ready", "url": url, "port": port}))
        while not stop.wait(_PARENT_POLL_S):
            if options.parent_pid is not None and os.getppid() != options.parent_pid:
                break
    finally:
        children.close()
        listener.close()


def _forget_accounts() -> None:
    """Drop this process' own variables about AWS: a profile that moto cannot find would stop it."""
    for name in [name for name in os.environ if name.startswith(NOT_INHERITED)]:
        del os.environ[name]


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _listen(options: EmulatorOptions) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"the emulator cannot listen on {options.host}:{options.port}: {error.strerror}"
        ) from error
    listener.listen(128)
    return listener


def _make_server(listener: socket.socket, jobs: JobRunner, functions: FunctionRunner) -> Any:  # noqa: ANN401 - werkzeug's server
    host, port = listener.getsockname()
    # moto reads this variable whenever Step Functions calls another service.
    os.environ["MOTO_PORT"] = str(port)
    from moto.core.config import default_user_config
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler
    from werkzeug.serving import make_server

    from tradelake.local.emulator import overrides

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    overrides.apply(jobs, functions)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    return make_server(
        host,
        port,
        DomainDispatcherApplication(_backend_app),
        threaded=True,
        request_handler=MotoRequestHandler,
        fd=listener.fileno(),
    )


def _backend_app(service: str) -> Any:  # noqa: ANN401 - a WSGI application
    """Return moto's application of a service, or one that refuses Kinesis."""
    from moto.moto_server.werkzeug_app import create_backend_app

    return _refuse_kinesis if service == "kinesis" else create_backend_app(service)


def _refuse_kinesis(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer every Kinesis call with an error that says where the streams are."""
    error = {
        "__type": "InvalidArgumentException",
        "message": "no streams here: set AWS_ENDPOINT_URL_KINESIS to the stream server",
    }
    body = json.dumps(error).encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("Content-Length", str(len(body))),
    ]
    start_response("400 Bad Request", headers)
    return [body]
