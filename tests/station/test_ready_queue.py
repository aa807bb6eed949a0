"""The ready queue: the oldest file first, and during a backlog a share for the latest."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.station.ready_queue import ReadyQueue


class Queue:
    """A ready queue with the files that are ready, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ready: set[str] = set()
        self.queue = ReadyQueue(self.ready.__contains__, lambda: self.now)

    def add(self, name: str, seen: float, mtime_ns: int = 0) -> None:
        """Make a file ready."""
        self.ready.add(name)
        self.queue.add(name, seen, mtime_ns)

    def take(self) -> str | None:
        """Take the next file."""
        name = self.queue.pop()
        if name is not None:
            self.ready.remove(name)
        return name


def test_files_that_were_seen_together_come_by_their_mtimes():
    """A backlog without newcomers comes strictly in order, however long it waits."""
    queue = Queue()
    for number in range(50):
        queue.add(f"{number}", seen=0, mtime_ns=(number * 7) % 50)
    queue.now = 3600
    assert [queue.take() for _ in range(50)] == sorted(map(str, range(50)), key=lambda n: int(n) * 7 % 50)
    assert queue.take() is None


def test_newcomers_behind_a_backlog_do_not_wait_for_its_end():
    """Each newcomer is one of the next four files, if at most every fourth file is one."""
    queue = Queue()
    for number in range(1000):
        queue.add(f"old{number}", seen=0)
    queue.now = 100
    for number in range(100):
        queue.add(f"new{number}", seen=queue.now)
        assert f"new{number}" in [queue.take() for _ in range(4)]
        queue.now += 1
    assert len(queue.ready) == 700


def test_without_a_backlog_files_come_in_order():
    """Files that wait less than five seconds come in the order in which they were seen."""
    queue = Queue()
    for number in range(20):
        queue.add(f"{number}", seen=number / 10)
    queue.now = 4
    assert [queue.take() for _ in range(20)] == [f"{number}" for number in range(20)]


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 10), st.sampled_from(["add", "take", "drop"]))))
def test_every_ready_file_gets_its_turn_once(steps: list[tuple[int, float, str]]):
    """In any sequence of additions and removals, each ready name is given once, then None."""
    queue = Queue()
    for number, passing, what in steps:
        queue.now += passing
        if what == "add" and f"{number}" not in queue.ready:
            queue.add(f"{number}", seen=queue.now)
        elif what == "take":
            was_ready = bool(queue.ready)
            assert (queue.take() is not None) == was_ready
        else:
            queue.ready.discard(f"{number}")
    left = set(queue.ready)
    assert {queue.take() for _ in range(len(left))} == left
    assert queue.take() is None
