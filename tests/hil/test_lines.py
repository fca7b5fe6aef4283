"""Which line is taken, and rows C7 and C1 when it is not there, held, or goes away and comes back."""

import time

from board_case import HEALS, BoardCase


class Lines(BoardCase):
    def test_a_line_active_at_start_is_no_pulse_and_the_kernels_filter_counts_too(self):
        self.boot(gpio_filter="kernel")
        self.head_end.run()
        self.board.set_level(1)
        self.start_meter()
        self.board.set_level(0)
        # The fence is behind the kernel's edges, not behind its debounce timer: far longer than that.
        time.sleep(0.2)
        self.board.pulse(15, on=0.2, off=0.2)
        self.assert_confirmed(15)

    def test_lines_that_can_not_be_had_are_refused_by_name_with_what_to_do(self):
        self.boot(gpio_line="GPIO6")
        self.assertRegex(self.refused(), "GPIO6.*in use by.*fence.*stop it")

        self.put_config(gpio_line="GPIO99")
        self.assertRegex(self.refused(), "GPIO99.*no GPIO chip has this line.*gpioinfo")

        self.put_config(gpio_line=None, gpio_chip="pinctrl-rp1", gpio_offset=17)
        self.assertRegex(self.refused(), "line 17 of pinctrl-rp1.*no GPIO chip has this line")

        self.put_config(gpio_line="GPIO17", gpio_chip=None, gpio_offset=None)
        self.board.run("cp /etc/meter.toml /tmp && chmod 600 /tmp/meter.toml && chown 1000:1000 /tmp/meter.toml && "
                       "chmod 777 /tmp && [ $(ls -l /dev/gpiochip0 | head -c 10) = crw------- ]")
        said = self.board.run("su guest -c 'meter-pi run --config /tmp/meter.toml --source gpio --state /tmp/state' 2>&1; "
                              "echo code-$?")
        self.assertIn("code-2", said)
        self.assertRegex(said, "/dev/gpiochip0: permission denied; add the user to the group gpio")

    def test_active_low_a_pull_and_a_chip_with_its_offset_taken_by_auto(self):
        # The controller has no pulls and the kernel lets that pass: that asking for one does no harm is all this shows.
        self.boot(gpio_active="low", gpio_pull="up", gpio_line=None, gpio_chip="9030000.pl061", gpio_offset=0)
        self.head_end.run()
        self.board.set_level(1)
        self.start_meter(source="auto")
        self.board.pulse(200, rest=1)
        self.assert_confirmed(200)
        self.assertEqual(list(self.registers()), ["measured"])


class Vanishing(BoardCase):
    def test_C7_a_chip_that_goes_and_comes_back_is_waited_for_and_nothing_is_simulated_meanwhile(self):
        self.boot()
        self.head_end.run()
        self.start_meter(source="auto")
        self.board.pulse(100)
        self.assert_confirmed(100)

        self.board.remove_chip()
        self.wait(lambda: "sensor_missing" in self.head_end.readings()[-1]["events"], "a reading that says so", HEALS)
        self.assertIn("sensor missing", self.register()["condition"])
        self.assert_confirmed(100)
        self.board.return_chip()
        self.wait_said("the sensor.s line is there")
        self.board.pulse(100)
        self.assert_confirmed(200)

        # The chip appears late: only after the meter was started.
        self.stop_meter()
        self.board.remove_chip()
        for source in ("auto", "gpio"):
            lines = len(self.head_end.readings())
            self.board.start(f"{self.command(source)} >/run/out 2>/run/err")
            self.wait(lambda: len(self.head_end.readings()) > lines + 1, "readings without a line", HEALS)
            self.wait_said("sensor missing")
            if source == "auto":
                self.stop_meter()
        self.board.return_chip()
        self.wait_said("the sensor.s line is there")
        self.board.pulse(100)
        self.assert_confirmed(300)
        self.assertEqual(list(self.registers()), ["measured"])
        self.assertEqual({row["source"] for row in self.head_end.readings()}, {"measured"})

    def test_C7_without_a_header_gpio_is_refused_and_what_auto_simulates_stays_apart(self):
        self.boot(simulation_seed=7)
        self.head_end.run()
        self.board.remove_chip()
        self.assertRegex(self.refused("gpio"), "GPIO17: this machine has no GPIO header")
        self.start_meter(source="auto")
        self.wait(lambda: self.server_total(), "simulated pulses", HEALS)
        self.stop_meter()
        self.board.return_chip()
        self.board.start(f"{self.command('auto')} >/run/out 2>/run/err")
        self.wait_said("greets a new measured register")
        self.board.pulse(100)
        self.wait(lambda: self.register()["total_pulses"] == 100, "the measured register's pulses alone", HEALS)
        self.wait(lambda: self.head_end.readings()[-1]["total_pulses"] == 100, "them on the server", HEALS)
        measured = [row for row in self.head_end.readings() if row["source"] == "measured"]
        self.assertEqual(measured[-1]["total_pulses"], 100)
        self.assertGreater(self.registers()["simulated"]["total_pulses"], 0)
        self.stop_meter()
        self.assertRegex(self.refused("simulate"), "fed by hardware")
