"""A StateStore in memory that can be told to fail."""

from collections.abc import Callable

from tradelake.errors import Conflict, Transient
from tradelake.ports import Versioned


class StateInMemory:
    """Values under (consumer, key); ``before_save`` runs once before the next save, as a rival."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Versioned] = {}
        self.before_save: Callable[[], None] | None = None
        self.fail_saves = 0
        self.fail_loads = 0

    def load(self, consumer: str, key: str) -> Versioned | None:
        if self.fail_loads:
            self.fail_loads -= 1
            raise Transient("the store is away")
        return self.values.get((consumer, key))

    def save(self, consumer: str, key: str, value: bytes, expected_version: int) -> None:
        if self.before_save is not None:
            rival, self.before_save = self.before_save, None
            rival()
        if self.fail_saves:
            self.fail_saves -= 1
            raise Transient("the store is away")
        stored = self.values.get((consumer, key))
        version = 0 if stored is None else stored.version
        if version != expected_version:
            raise Conflict(f"{key}: expected version {expected_version}, found {version}")
        self.values[consumer, key] = Versioned(value, version + 1)
