"""Row D6: any start order, each part restarted alone; no restart of another is ever needed. Row D4: broker wiped."""
import itertools
import re
import time
from collections import Counter

from harness import HEALS, Case, rounds
from wire import Keys, Peer

CONFIRMED = r"confirmed by the server: readings? (?:\d+ to )?(\d+)"
STORED = r"hall  reading (\d+): "


class Restarts(Case):
    def three(self, persistent=False):
        self.broker_ = self.broker(persistent=persistent)
        self.server_ = self.server(self.broker_)
        self.meter_ = self.server_.add()
        return self.broker_, self.server_, self.meter_

    def wait_for_a_new_confirmation(self):
        """Of a reading that was taken after this call."""
        stored = [int(n) for n in self.newest(STORED)]
        last = stored[-1] if stored else 0
        self.wait(lambda: any(int(n) > last for n in self.newest(CONFIRMED)), f"a confirmation beyond reading {last}")

    def wait_for_the_backlog(self):
        """The meter sends again what was not confirmed, each after its own pause (a minute at most)."""
        last = int(self.newest(STORED)[-1])
        self.wait(lambda: {(1, s) for s in range(1, last + 1)} <= set(self.server_.rows()),
                  f"every reading up to {last}, those of the outage too", 2 * HEALS)

    def newest(self, pattern):
        return re.findall(pattern, self.meter_.process.out())

    def check_the_end(self):
        self.meter_.process.stop()
        register = self.wait_equal_totals(self.server_, self.meter_)
        rows = self.server_.rows()
        self.assertTrue(rows)
        totals = [rows[key]["total_pulses"] for key in sorted(rows)]
        self.assertEqual(totals, sorted(totals), "the total never fell")
        self.assertEqual({epoch for epoch, _ in rows}, {1}, "no restart begins an epoch")
        return register

    def start_in(self, order):
        broker, server, meter = self.three()
        broker.stop()
        for part in order:
            if part == "broker":
                broker.start()
            elif part == "server":
                server.run(connected=False)
                self.wait(server.process.err, "the server's first word")
            else:
                meter.run()
                self.wait(meter.process.err, "the meter's first word")
        self.wait_for_a_new_confirmation()
        self.check_the_end()

    def restart_alone(self, part, how):
        broker, server, meter = self.three()
        server.run()
        meter.run()
        self.wait_for_a_new_confirmation()
        process = {"broker": broker, "server": server, "meter": meter}[part].process
        process.stop() if how == "stop" else process.kill()
        if part != "meter":  # it counts on meanwhile
            taken = len(meter.process.wait_out(STORED))
            meter.process.wait_out(STORED, count=taken + 3)
        {"broker": broker.start, "server": server.run, "meter": meter.run}[part]()
        self.wait_for_a_new_confirmation()
        self.wait_for_the_backlog()
        self.check_the_end()

    def test_D6_a_meter_that_was_greeted_goes_on_where_it_was(self):
        broker, server, meter = self.three()
        server.run()
        for _ in range(3):
            meter.run()
            self.wait_for_a_new_confirmation()
            meter.process.stop()
        self.assertEqual(meter.register()["epoch"], 1)
        self.wait_equal_totals(server, meter)

    def test_D2_D4_any_of_the_three_killed_9_at_random_points_and_the_broker_wiped(self):
        """Row D4's 20 and 200, with the programs among the dead: also while another is still away or coming back."""
        broker, server, meter = self.three(persistent=True)
        parts = {"broker": broker, "server": server, "meter": meter}
        starts = {"broker": broker.start, "server": lambda: server.run(connected=False), "meter": meter.run}
        keys, tap = Keys.of(meter), self.tap(broker)
        server.run()
        meter.run()
        self.wait_for_a_new_confirmation()
        told = Counter()
        while told["broker"] < rounds(20, 200):
            time.sleep(self.random.uniform(0, 1))  # any instant will do, so this is no wait for anything
            dead = self.random.sample(sorted(parts), self.random.randint(1, 3))
            for name in dead:
                parts[name].process.kill()
            if "broker" in dead:
                broker.wipe()
            told.update(dead)
            confirmed = Peer(self, tap, keys).confirmed()
            self.assertEqual(confirmed - set(server.rows()), set(), f"confirmed and absent\n{self.tails()}")
            for name in self.random.sample(dead, len(dead)):
                starts[name]()
        alive = time.monotonic()
        meter.process.wait_out(STORED)
        self.wait_for_a_new_confirmation()
        self.wait_for_the_backlog()
        recovered = time.monotonic()
        self.check_the_end()
        print(f"        killed: {', '.join(f'{n} × {name}' for name, n in sorted(told.items()))}; all equal "
              f"{recovered - alive:.1f} s after the last of them was started")

    def test_D4_broker_killed_and_its_data_wiped(self):
        broker, server, meter = self.three(persistent=True)
        server.run()
        meter.run()
        recoveries = []
        self.wait_for_a_new_confirmation()
        for _ in range(rounds(3, 200)):
            broker.kill()
            broker.wipe()
            broker.start()
            began = time.monotonic()
            self.wait_for_a_new_confirmation()
            recoveries.append(time.monotonic() - began)
        print(f"        confirmed again at most {max(recoveries):.1f} s after the broker's start")
        self.wait_for_the_backlog()
        self.check_the_end()


def _add(name, function):
    setattr(Restarts, name, function)


for _order in itertools.permutations(("broker", "server", "meter")):
    _add("test_D6_started_" + "_".join(_order), lambda self, order=_order: self.start_in(order))
for _part, _how in itertools.product(("broker", "server", "meter"), ("stop", "kill_9")):
    _add(f"test_D6_{_part}_restarted_alone_after_{_how}",
         lambda self, part=_part, how=_how: self.restart_alone(part, how))
