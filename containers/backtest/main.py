"""Batch job ``backtest``: runs one backtest and writes one result object.

Exit code 0: there is a result, good or bad. 1: lake or bucket refuse, another attempt may help.
2: the job's settings or its specification are wrong.
"""

from __future__ import annotations

import os
import sys

from tradelake.adapters.aws.logs import log_batch
from tradelake.bootstrap import wire_backtest
from tradelake.errors import ConfigError, TradelakeError


def main() -> int:
    """Run the job; return its exit code."""
    try:
        result = wire_backtest(os.environ)()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except TradelakeError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    run_id = result.manifest.spec.run_id
    log_batch(
        "backtest", run_id, {"status": result.status, "bars": result.bars, "error": result.error}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
