"""Row B1: whatever a network does to the connections of both programs, totals are equal in the end, by themselves."""
import collections
import concurrent.futures
import os
import random
import re
import statistics
import time

from fault_proxy import SEVERING, FaultProxy
from harness import HEALS, LONG, SEED, Case, rounds
from many_meters import add_meters

STORED = r"reading (\d+): Total"
CONFIRMED = r"confirmed by the server: readings? (?:\d+ to )?(\d+)"
QUICK = ("reset", "loss", "half_closed", "delay", "pieces")  # what is noticed at once, or is no reason to reconnect
FAULTS = (*QUICK, "half_open", "black_hole")
METERS = 5  # the more of them, the fewer faults each has, and the shorter its back-off has become by the end
HEALS_AMID_FAULTS = 5 * HEALS  # the other program's connection has its faults meanwhile


def newest(process, pattern):
    """The last number of that kind that it printed, 0 if there is none."""
    with open(process.out_path, "rb") as file:
        file.seek(max(0, os.path.getsize(process.out_path) - 8192))
        found = re.findall(pattern, file.read().decode("utf-8", "replace"))
    return int(found[-1]) if found else 0


class Faults(Case):
    def world(self, meters):
        """A server and so many meters, each behind a proxy of its own; they are not started."""
        self.broker_ = self.broker()
        self.server_proxy = self.proxy()
        self.server_ = self.server(self.server_proxy)
        self.meters = add_meters(self.server_, [f"meter-{n}" for n in range(meters)])
        self.proxies = [self.proxy() for _ in self.meters]
        for meter, proxy in zip(self.meters, self.proxies):
            meter.configure(broker_url=proxy.url)

    def proxy(self):
        return FaultProxy(self, self.broker_, self.own_random())

    def own_random(self):
        """For a thread: what it draws must not depend on the others."""
        return random.Random(self.random.random())

    def start(self, meters):
        self.world(meters)
        self.server_.run()
        for meter in self.meters:
            meter.run()
        for meter in self.meters:
            meter.process.wait_out(CONFIRMED)

    def all_proxies(self):
        return [self.server_proxy, *self.proxies]

    def wait_for_a_new_confirmation(self, meter):
        """Of a reading that was stored after this call; the seconds it took."""
        start, last = time.monotonic(), newest(meter.process, STORED)
        self.wait(lambda: newest(meter.process, CONFIRMED) > last, f"a confirmation to {meter.name} beyond {last}",
                  HEALS_AMID_FAULTS, alive=meter.process)
        return time.monotonic() - start

    def check_the_end(self):
        for meter in self.meters:
            self.wait_for_a_new_confirmation(meter)
            last = newest(meter.process, STORED)
            self.wait(lambda: {(1, s) for s in range(1, last + 1)} <= set(self.server_.rows(meter.name)),
                      f"the backlog of {meter.name}", 2 * HEALS)
            meter.process.stop()
            register = self.wait_equal_totals(self.server_, meter)
            self.assertEqual(register["epoch"], 1)
            rows = self.server_.rows(meter.name)
            self.assertEqual(sorted(rows), [(1, s) for s in range(1, register["sequence"] + 1)])
            status = self.server_.status(meter.name)
            self.assertEqual((status["held"], status["refused"]), (0, 0))
        self.server_.process.stop()

    # 100 in four tests, so that they run side by side
    def test_B1_faults_at_random_points_part_1(self):
        self.suffer(rounds(25, 250))

    def test_B1_faults_at_random_points_part_2(self):
        self.suffer(rounds(25, 250))

    def test_B1_faults_at_random_points_part_3(self):
        self.suffer(rounds(25, 250))

    def test_B1_faults_at_random_points_part_4(self):
        self.suffer(rounds(25, 250))

    def suffer(self, faults):
        """Every connection has its faults in a thread of its own; all the meters wait for the server's."""
        self.start(METERS)
        each = faults // (METERS + 1)
        count = [faults - METERS * each] + [each] * METERS
        plans = [[self.random.choice(FAULTS if LONG else QUICK) for _ in range(number)] for number in count]
        instants = [self.own_random() for _ in plans]
        healed_by = [self.meters, *([meter] for meter in self.meters)]
        with concurrent.futures.ThreadPoolExecutor(len(plans)) as threads:
            recoveries = list(threads.map(self.suffer_one, self.all_proxies(), plans, instants, healed_by))
        self.check_the_end()
        seconds = [each for recovery in recoveries for each in recovery]
        self.assertEqual(len(seconds), faults)
        kinds = collections.Counter(fault for plan in plans for fault in plan)
        print(f"        seed {SEED}: {faults} faults ({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}); "
              f"from a good connection's return to a new reading confirmed: median {statistics.median(seconds):.1f} s, "
              f"at most {max(seconds):.1f} s")

    def suffer_one(self, proxy, plan, instants, meters):
        """The faults of one connection, one after the other. The seconds that each took to heal."""
        recoveries = []
        for fault in plan:
            time.sleep(instants.uniform(0, 0.5))  # any instant will do, so this is no wait for anything
            ends = proxy.ended + instants.choice((1, 1, 1, 2))  # now and then those who come back have it too
            proxy.set(fault)
            if fault in SEVERING:
                self.wait(lambda: proxy.ended >= ends, f"the end of a connection by {fault}", 2 * HEALS)
            else:
                self.wait_for_a_new_confirmation(meters[0])
            proxy.set("honest")
            recoveries.append(max(map(self.wait_for_a_new_confirmation, meters)))
        return recoveries

    def test_B1_a_connection_into_a_black_hole_is_given_up(self):
        self.all_at_once("black_hole")

    def test_B1_a_half_open_connection_is_given_up(self):
        self.all_at_once("half_open")

    def all_at_once(self, fault):
        """Only the keep-alive notices; both programs' connections at once, and again while they reconnect."""
        self.start(2)
        for proxy in self.all_proxies():
            proxy.set(fault)
        for proxy in self.all_proxies():
            self.wait(lambda: proxy.ended >= 1, f"a connection to be given up: {fault}", 2 * HEALS)
        for proxy in self.all_proxies():
            proxy.set("honest")
        seconds = max(map(self.wait_for_a_new_confirmation, self.meters))
        print(f"        {fault}: a new reading confirmed {seconds:.1f} s after the network's return")
        self.check_the_end()

    def test_B1_who_lost_the_broker_comes_back_at_different_times(self):
        """Waits are 500 ms, 1 s, 2 s … of which at most half is chance; load can make them longer, never shorter."""
        self.world(3)
        for proxy in self.all_proxies():
            proxy.set("busy")
        self.server_.run(connected=False)
        for meter in self.meters:
            meter.run()
        steps = [0.5, 1, 2, 4]  # seconds
        shares = []
        for proxy in self.all_proxies():
            self.wait(lambda: len(proxy.attempts) > len(steps), "attempts to connect")
            shares.append([(came - turned_away) / step for (_, turned_away), (came, _), step
                           in zip(proxy.attempts, proxy.attempts[1:], steps)])
        print("        of each step was waited: " +
              "; ".join(" ".join(f"{share:.2f}" for share in each) for each in shares))
        for each in shares:
            self.assertGreater(min(each), 0.49, "nobody hurries")
        self.assertLess(min(min(each) for each in shares), 0.95, "nobody ever comes before the whole step: no jitter")
        for proxy in self.all_proxies():
            proxy.set("honest")
        self.check_the_end()
