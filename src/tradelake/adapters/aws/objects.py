"""Objects of one S3 bucket."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from tradelake.adapters.aws.clients import client, translate


class S3Objects:
    """An :class:`~tradelake.ports.ObjectStore` on one bucket.

    Parameters
    ----------
    bucket : str
        Physical name.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._s3 = client("s3")

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole or not at all."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"s3 put {self._bucket}/{key}") from error

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises
        ------
        KeyError
            There is none.
        """
        try:
            body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._s3.exceptions.NoSuchKey as error:
            raise KeyError(key) from error
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"s3 get {self._bucket}/{key}") from error
        return body

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with ``prefix``, sorted."""
        pages = self._s3.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield found["Key"]
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"s3 list {self._bucket}/{prefix}") from error
