"""What has left a QEMU and has not come out of the last relay."""

from __future__ import annotations

from ramferry.control.migrate.in_flight import Delivered, InFlight


def test_nobody_tells() -> None:
    flight = InFlight()
    for second in range(5):
        flight.take(second, second * 100, None)
    assert flight.bytes == 0


def test_a_relays_word_is_set_beside_what_qemu_had_sent_at_that_moment() -> None:
    flight = InFlight()
    flight.take(1.0, 1000, None)
    flight.take(1.2, 1200, Delivered(1.1, 900))
    assert flight.bytes == 200


def test_the_same_word_counts_once_and_the_middle_one_is_told() -> None:
    flight = InFlight()
    flight.take(0.0, 0, None)
    for at, under_way in ((1, 300), (2, 100), (3, 200)):
        word = Delivered(float(at), at * 1000 - under_way)
        flight.take(float(at), at * 1000, word)
        flight.take(at + 0.5, at * 1000 + 500, word)
    assert flight.bytes == 200


def test_a_word_of_another_time_is_passed_over() -> None:
    flight = InFlight()
    flight.take(5.0, 5000, None)
    flight.take(5.2, 5200, Delivered(4.0, 100))
    assert flight.bytes == 0


def test_more_is_never_delivered_than_was_sent() -> None:
    flight = InFlight()
    flight.take(1.0, 1000, None)
    flight.take(2.0, 2000, Delivered(1.5, 1700))
    assert flight.bytes == 0
