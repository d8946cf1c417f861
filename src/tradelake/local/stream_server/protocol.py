"""The shapes of Kinesis' JSON 1.1 protocol: requests, the answers that must be quick, and errors.

Members are spelt as botocore's service model spells them. Blobs are base64 in JSON, which msgspec
does for ``bytes``.
"""

from __future__ import annotations

from typing import Final

import msgspec

TARGET_PREFIX: Final = "Kinesis_20131202."
CONTENT_TYPE: Final = "application/x-amz-json-1.1"
WAIT_HEADER: Final = "x-tradelake-wait-ms"
"""A reader that sends it lets GetRecords hold an empty answer back until something arrives,
but no longer than that.
"""

MAX_RECORDS_A_CALL: Final = 500
MAX_RECORD_BYTES: Final = 1 << 20
MAX_CALL_BYTES: Final = 10 << 20
MAX_READ_RECORDS: Final = 10_000
MAX_READ_BYTES: Final = 10 << 20
MAX_KEY_CHARACTERS: Final = 256


class KinesisError(Exception):
    """An error as Kinesis answers it.

    Parameters
    ----------
    code : str
        Name of the error shape, for instance ``"ResourceNotFoundException"``.
    message : str
        What was expected and what was found.
    status : int
        HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid(message: str) -> KinesisError:
    """Return an ``InvalidArgumentException``."""
    return KinesisError("InvalidArgumentException", message)


def not_found(message: str) -> KinesisError:
    """Return a ``ResourceNotFoundException``."""
    return KinesisError("ResourceNotFoundException", message)


def in_use(message: str) -> KinesisError:
    """Return a ``ResourceInUseException``."""
    return KinesisError("ResourceInUseException", message)


class StreamRequest(msgspec.Struct, rename="pascal", kw_only=True):
    """Any request that names a stream, by name, ARN or both."""

    stream_name: str | None = None
    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)

    def name(self) -> str:
        """Name of the stream.

        Raises
        ------
        KinesisError
            ``InvalidArgumentException``: neither name nor a well-formed ARN, or two that disagree.
        """
        if self.stream_arn is None:
            if not self.stream_name:
                raise invalid("expected StreamName or StreamARN, found neither")
            return self.stream_name
        _, mark, name = self.stream_arn.partition(":stream/")
        if not mark or not name:
            raise invalid(f"expected the ARN of a stream, found {self.stream_arn!r}")
        if self.stream_name is not None and self.stream_name != name:
            raise invalid(f"StreamName {self.stream_name!r} is not the stream of StreamARN")
        return name


class StreamMode(msgspec.Struct, rename="pascal"):
    """Capacity mode."""

    stream_mode: str = "PROVISIONED"


class CreateStream(StreamRequest, kw_only=True):
    """Input of CreateStream."""

    shard_count: int | None = None
    stream_mode_details: StreamMode | None = None
    tags: dict[str, str] = {}


class DeleteStream(StreamRequest, kw_only=True):
    """Input of DeleteStream."""

    enforce_consumer_deletion: bool = False


class ListStreams(msgspec.Struct, rename="pascal", kw_only=True):
    """Input of ListStreams."""

    limit: int = 100
    exclusive_start_stream_name: str | None = None
    next_token: str | None = None


class DescribeStream(StreamRequest, kw_only=True):
    """Input of DescribeStream."""

    limit: int = 100
    exclusive_start_shard_id: str | None = None


class ShardFilter(msgspec.Struct, rename="pascal", kw_only=True):
    """Which shards ListShards lists."""

    type: str
    shard_id: str | None = None
    timestamp: float | None = None


class ListShards(StreamRequest, kw_only=True):
    """Input of ListShards."""

    next_token: str | None = None
    exclusive_start_shard_id: str | None = None
    max_results: int = 1000
    stream_creation_timestamp: float | None = None
    shard_filter: ShardFilter | None = None


class PutEntry(msgspec.Struct, rename="pascal"):
    """One record of PutRecords."""

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None


class PutRecords(StreamRequest, kw_only=True):
    """Input of PutRecords."""

    records: list[PutEntry]


class PutRecord(StreamRequest, kw_only=True):
    """Input of PutRecord."""

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None
    sequence_number_for_ordering: str | None = None


class PutResult(msgspec.Struct, rename="pascal", omit_defaults=True):
    """Fate of one record: written (sequence number, shard) or refused (error)."""

    sequence_number: str | None = None
    shard_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class PutRecordsAnswer(msgspec.Struct, rename="pascal"):
    """Output of PutRecords."""

    failed_record_count: int
    records: list[PutResult]


class GetShardIterator(StreamRequest, kw_only=True):
    """Input of GetShardIterator."""

    shard_id: str
    shard_iterator_type: str
    starting_sequence_number: str | None = None
    timestamp: float | None = None


class GetRecords(msgspec.Struct, rename="pascal", kw_only=True):
    """Input of GetRecords."""

    shard_iterator: str
    limit: int = MAX_READ_RECORDS


class ReadRecord(msgspec.Struct, rename="pascal"):
    """One record as GetRecords and SubscribeToShard hand it out."""

    sequence_number: str
    approximate_arrival_timestamp: float
    data: bytes
    partition_key: str


class HashKeyRange(msgspec.Struct, rename="pascal"):
    """Both ends belong to the range; decimal strings."""

    starting_hash_key: str
    ending_hash_key: str


class ChildShard(msgspec.Struct, rename="pascal"):
    """A shard that continues the one just read to its end."""

    shard_id: str
    parent_shards: list[str]
    hash_key_range: HashKeyRange


class GetRecordsAnswer(msgspec.Struct, rename="pascal", omit_defaults=True):
    """Output of GetRecords; no ``NextShardIterator`` at the end of a closed shard."""

    records: list[ReadRecord]
    millis_behind_latest: int | None = None
    next_shard_iterator: str | None = None
    child_shards: list[ChildShard] | None = None


class SplitShard(StreamRequest, kw_only=True):
    """Input of SplitShard."""

    shard_to_split: str
    new_starting_hash_key: str


class MergeShards(StreamRequest, kw_only=True):
    """Input of MergeShards."""

    shard_to_merge: str
    adjacent_shard_to_merge: str


class UpdateShardCount(StreamRequest, kw_only=True):
    """Input of UpdateShardCount."""

    target_shard_count: int
    scaling_type: str


class RetentionPeriod(StreamRequest, kw_only=True):
    """Input of Increase- and DecreaseStreamRetentionPeriod."""

    retention_period_hours: int


class AddTags(StreamRequest, kw_only=True):
    """Input of AddTagsToStream."""

    tags: dict[str, str]


class RemoveTags(StreamRequest, kw_only=True):
    """Input of RemoveTagsFromStream."""

    tag_keys: list[str]


class ListTags(StreamRequest, kw_only=True):
    """Input of ListTagsForStream."""

    exclusive_start_tag_key: str | None = None
    limit: int = 50


class RegisterConsumer(StreamRequest, kw_only=True):
    """Input of RegisterStreamConsumer."""

    consumer_name: str


class ListConsumers(StreamRequest, kw_only=True):
    """Input of ListStreamConsumers."""

    next_token: str | None = None
    max_results: int = 100


class ConsumerRequest(StreamRequest, kw_only=True):
    """Input of DescribeStreamConsumer and DeregisterStreamConsumer: an ARN, or stream and name."""

    consumer_name: str | None = None
    consumer_arn: str | None = msgspec.field(name="ConsumerARN", default=None)


class StartingPosition(msgspec.Struct, rename="pascal", kw_only=True):
    """Where a subscription starts."""

    type: str
    sequence_number: str | None = None
    timestamp: float | None = None


class SubscribeToShard(msgspec.Struct, rename="pascal", kw_only=True):
    """Input of SubscribeToShard."""

    shard_id: str
    starting_position: StartingPosition
    consumer_arn: str = msgspec.field(name="ConsumerARN")
