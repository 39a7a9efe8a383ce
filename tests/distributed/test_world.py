"""Sharing work between processes: what is whose, and that nothing is missing or there twice."""

import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import distributed
from reflowbench.runtime.distributed import World, processes, spread


class Fake(World):
    """One of several processes whose others are played by the test: they send what `others` says."""

    def __init__(self, rank, size, others=None):
        super().__init__(rank, size)
        self.others, self.sent = others, []

    def gathered(self, values):
        self.sent.append(values)
        return self.others(values)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 12, 24])
def test_shares_are_all_rows_in_order(size, count):
    rows = list(range(count))
    shares = [rows[World(rank, size).share(count)] for rank in range(size)]
    assert [row for share in shares for row in share] == rows
    assert max(map(len, shares)) <= -(-count // size), "what is sent is padded to this"


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, 6, 11])
def test_joined_rows_are_all_rows(size, count):
    rows = torch.arange(2.0 * count).reshape(count, 2)

    def everyone(sent):
        parts = [rows[World(rank, size).share(count)] for rank in range(size)]
        return [torch.cat([part, torch.full((len(sent) - len(part), 2), torch.nan)]) for part in parts]

    for rank in range(size):
        here = Fake(rank, size, everyone)
        assert torch.equal(here.joined(rows[here.share(count)], count), rows)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(("start", "count"), [(0, 7), (0, 8), (4, 7), (6, 7), (0, 1), (0, 20), (3, 3)])
def test_spread_gives_each_block_once_and_in_order(monkeypatch, size, start, count):
    """Each process makes about its share; the last block is shorter, and who has none left makes it once more."""
    asked = {}

    def make(rank, index):
        asked.setdefault(rank, []).append(index)
        return [torch.tensor(index)[:, None], torch.tensor(index) % 2 == 0]

    for rank in range(size):
        turn = []

        def everyone(sent, rank=rank, turn=turn):
            """All make the block of this turn; `sent` must be what this process would."""
            column = len(turn) % 2
            turn.append(sent)
            first = start + 2 * size * ((len(turn) - 1) // 2)
            firsts = range(first, min(first + 2 * size, count), 2)
            parts = []
            for other in range(size):
                begin = firsts[min(other, len(firsts) - 1)]
                made = [list(range(begin, min(begin + 2, count)))]
                part = torch.tensor(made[0])[:, None] if column == 0 else torch.tensor(made[0]) % 2 == 0
                parts.append(torch.cat([part, part.new_zeros((2 - len(part), *part.shape[1:]))]))
            assert torch.equal(parts[rank], sent)
            return parts

        monkeypatch.setattr(distributed, "world", lambda r=rank, e=everyone: Fake(r, size, e) if size > 1 else World())
        blocks = list(spread(start, count, 2, lambda index, r=rank: make(r, list(index))))
        assert [block[0].flatten().tolist() for block in blocks] == [
            list(range(first, min(first + 2, count))) for first in range(start, count, 2)
        ]
        assert all(torch.equal(rows[:, 0] % 2 == 0, even) for rows, even in blocks)
        turns = -(-(count - start) // (2 * size))
        assert len(asked.get(rank, [])) == turns, "one block a turn"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "", "2000", "²"])
def test_a_number_of_processes_that_is_none(monkeypatch, value):
    monkeypatch.setenv(distributed.VARIABLE, value)
    with pytest.raises(ReflowbenchError, match="REFLOWBENCH_PROCESSES = .* want a positive integer"):
        processes()


def test_one_process_unless_asked(monkeypatch):
    monkeypatch.delenv(distributed.VARIABLE, raising=False)
    assert processes() == 1
    monkeypatch.setenv(distributed.VARIABLE, "3")
    assert processes() == 3


def test_one_process_needs_nobody():
    here, values = World(), torch.arange(3.0)
    here.add([values])
    assert values.tolist() == [0, 1, 2] and here.gathered(values) == [values] and here.agreed(7) == 7
    assert here.joined(values, 3) is values and here.said("a") == ["a"] and here.first and not here.orphaned
