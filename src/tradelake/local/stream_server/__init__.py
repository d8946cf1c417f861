"""A durable append-log stream server behind Kinesis' API, for one machine.

Unmodified boto3 reaches it through ``AWS_ENDPOINT_URL_KINESIS``. A record that was acknowledged
survives the death of the server; shards, parents and children, hash ranges, limits and errors are
Kinesis'.
"""

from tradelake.local.stream_server.options import ServerOptions
from tradelake.local.stream_server.server import StreamServer, run_stream_server

__all__ = ["ServerOptions", "StreamServer", "run_stream_server"]
