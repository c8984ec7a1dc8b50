"""A later batch seen before an earlier one costs no record."""

from aiokafka import ConsumerRecord, TopicPartition

from common.bus.holes import PATIENCE, Holes

PLACE = TopicPartition("penguinmails.access", 3)


def records(*offsets: int) -> list[ConsumerRecord[bytes, bytes]]:
    return [
        ConsumerRecord(PLACE.topic, PLACE.partition, offset, 0, 0, None, None, None, 0, 0, ())
        for offset in offsets
    ]


def taken(holes: Holes, expected: int, offsets: list[int], now: float) -> list[int]:
    return [record.offset for record in holes.before(PLACE, expected, records(*offsets), now)]


def test_records_without_a_gap_are_all_taken() -> None:
    assert taken(Holes(), 5, [5, 6, 7], now=0) == [5, 6, 7]


def test_what_lies_behind_a_gap_waits_until_the_gap_is_filled() -> None:
    holes = Holes()
    assert taken(holes, 5, [5, 6, 9, 10], now=0) == [5, 6]
    assert taken(holes, 7, [9, 10], now=0.1) == []
    assert taken(holes, 7, [7, 8, 9, 10], now=0.2) == [7, 8, 9, 10]


def test_a_gap_that_stays_is_believed_and_the_next_one_waits_anew() -> None:
    holes = Holes()
    assert taken(holes, 0, [500], now=0) == []
    assert taken(holes, 0, [500], now=PATIENCE / 2) == []
    assert taken(holes, 0, [500, 501], now=PATIENCE) == [500, 501]
    assert taken(holes, 502, [510], now=PATIENCE + 1) == []


def test_a_gap_that_healed_says_nothing_of_a_later_one_at_its_place() -> None:
    holes = Holes()
    assert taken(holes, 0, [1, 2], now=0) == []
    assert taken(holes, 0, [0, 1, 2], now=0.01) == [0, 1, 2]
    assert taken(holes, 0, [1, 2], now=60) == [], "a broker that came back begins at 0 again"
