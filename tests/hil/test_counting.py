"""Rows C1, C2, C3: pulses, overflows and bounce on a line of a real kernel."""

from board_case import HEALS, BoardCase
from harness import rounds


class RealInput(BoardCase):
    def test_C1_C2_every_pulse_is_confirmed_through_a_dead_link_a_broker_restart_and_an_overflow(self):
        self.boot()
        self.head_end.run()
        self.start_meter()
        board, total = self.board, 1_000
        board.pulse(total)
        self.assert_confirmed(total)

        board.set_link("down")
        board.pulse(100)
        self.wait(lambda: self.register()["total_pulses"] == total + 100, "the readings while the link is down", HEALS)
        self.assert_not_beyond(total, "the link was not down")
        board.set_link("up")
        total += 100
        self.assert_confirmed(total)

        self.mosquitto.stop()
        board.pulse(50)
        self.wait(lambda: self.register()["total_pulses"] == total + 50, "the readings without a broker", HEALS)
        self.assert_not_beyond(total, "there was a broker")
        self.mosquitto.start()
        total += 50
        self.assert_confirmed(total)

        board.run("kill -STOP $(pidof meter-pi)")
        board.pulse(5_000)
        self.assert_not_beyond(total, "meter-pi was not stopped")
        board.run("kill -CONT $(pidof meter-pi)")
        total += 5_000
        self.assert_confirmed(total)
        # Both edges of each pulse, but for the 1,024 that the kernel keeps and the few that were read before.
        self.assertGreaterEqual(self.register()["missed_edges"], 2 * 5_000 - 2 * 1_024, "nothing overflowed")


class FullSpeed(BoardCase):
    """As fast as the emulator takes pulses: some hundred a second on a quiet machine."""

    def count(self, filter_kind, pulses):
        # 10,000 kW at 10,000 a kWh are 27,778 pulses a second: the filter's times are microseconds.
        self.boot(max_kw=10_000, gpio_filter=filter_kind)
        self.head_end.run()
        self.start_meter()
        self.board.pulse(pulses, on=0, off=0)
        self.assert_confirmed(pulses)

    def test_C1_ten_thousand_pulses_without_a_filter(self):
        self.count("none", rounds(10_000, 100_000))

    def test_C1_pulses_at_full_speed_through_the_programs_own_filter(self):
        self.count("own", rounds(2_000, 100_000))
        self.assertEqual(self.register()["glitches"], 0)


class Bounce(BoardCase):
    def bouncing(self, level):
        """The contact closes (1) or opens (0): it is there and away again twice before it rests, on each side of it."""
        for bounce in range(2):
            self.board.set_level(level)
            self.board.set_level(1 - level)
        self.board.set_level(level)

    def test_C3_a_bouncing_contact_makes_one_pulse_and_a_glitch_makes_none(self):
        # The guest's clock may run on by many milliseconds between two levels: the machine may be busy. Hence times far
        # beyond those of a real contact.
        self.boot(gpio_min_spacing_us=200_000, gpio_min_width_us=150_000)
        self.head_end.run()
        self.start_meter()
        pulses = rounds(10, 1_000)
        for _ in range(pulses):
            self.bouncing(1)
            self.pause(0.25)
            self.bouncing(0)
            self.pause(0.35)
        for _ in range(3):  # far too short
            self.board.pulse(1, on=0, off=0)
            self.pause(0.35)
        self.board.set_level(1)
        self.pause(0.25)
        self.board.set_level(0)
        self.assert_confirmed(pulses + 1)
        self.assertEqual(self.register()["glitches"], 3)

    def pause(self, seconds):
        """At least so long on the guest's clock too."""
        self.board.run(f"sleep {seconds}")
