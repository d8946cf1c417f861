"""A job that does what its arguments say."""

import os
import sys
import time
from pathlib import Path

verb, *rest = sys.argv[1:]
if verb == "tell":
    print("colour", os.environ.get("COLOUR"))
    print("attempt", os.environ["AWS_BATCH_JOB_ATTEMPT"], file=sys.stderr)
    print("profile", os.environ.get("AWS_PROFILE"))
elif verb == "exit":
    sys.exit(int(rest[0]))
elif verb == "succeed-at":
    sys.exit(0 if os.environ["AWS_BATCH_JOB_ATTEMPT"] == rest[0] else 1)
elif verb == "raise":
    raise LookupError("nothing here")
elif verb == "sleep":
    Path(rest[0]).write_text(str(os.getpid()))
    time.sleep(600)
elif verb == "span":
    begin = time.monotonic()
    time.sleep(0.3)
    print("span", begin, time.monotonic())
