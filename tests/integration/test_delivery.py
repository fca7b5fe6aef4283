"""Rows D1, D2 and D3: stored before published, confirmed only after the ledger's COMMIT, counted once in any order."""
import sqlite3
import time

from harness import LONG, Case, rounds
from wire import Keys, Peer, reading

METER_LINE = r"hall  reading (\d+): "


class Delivery(Case):
    # 100 kills in four tests, so that they run side by side
    def test_D2_nothing_is_confirmed_and_absent_when_the_server_is_killed_9_part_1(self):
        self.kill_the_server(rounds(25, 250))

    def test_D2_nothing_is_confirmed_and_absent_when_the_server_is_killed_9_part_2(self):
        self.kill_the_server(rounds(25, 250))

    def test_D2_nothing_is_confirmed_and_absent_when_the_server_is_killed_9_part_3(self):
        self.kill_the_server(rounds(25, 250))

    def test_D2_nothing_is_confirmed_and_absent_when_the_server_is_killed_9_part_4(self):
        self.kill_the_server(rounds(25, 250))

    def kill_the_server(self, kills):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add("hall")
        peers = [Peer(self, self.tap(broker, "#"), Keys.of(server.add(f"peer-{n}"))) for n in range(3)]
        server.run()
        meter.run()
        for peer in peers:
            peer.hello()
        sent = []  # what readings say, the same for all peers
        for _ in range(kills):
            burst = [reading(1, sequence, 3 * sequence) for sequence in range(len(sent) + 1, len(sent) + 41)]
            for peer in peers:  # the tokens are on their way when it dies
                for fields in burst:
                    peer.send(fields)
            sent += burst
            time.sleep(self.random.uniform(0, 0.15))  # any instant will do, so this is no wait for anything
            server.process.kill()
            self.check_confirmed_are_present(server, meter, peers)
            server.run()
        for peer in peers:  # a meter sends what is not confirmed again
            confirmed = peer.confirmed()
            for fields in sent:
                if (1, fields["sequence"]) not in confirmed:
                    peer.send(fields)
        for peer in peers:
            peer.wait_confirmed((1, fields["sequence"]) for fields in sent)
        meter.process.wait_out(r"confirmed by the server")
        confirmed = self.check_confirmed_are_present(server, meter, peers)
        self.assertGreater(confirmed, 3 * len(sent), "the peers' and some of the real meter's")
        meter.process.stop()
        self.wait_equal_totals(server, meter)

    def check_confirmed_are_present(self, server, meter, peers):
        """How many sequences were confirmed to all meters."""
        tap, count = peers[0].tap, 0
        for peer in [*peers, Peer(self, tap, Keys.of(meter))]:
            confirmed = peer.confirmed()
            absent = confirmed - set(server.rows(peer.keys.meter))
            self.assertEqual(absent, set(), f"{peer.keys.meter}: confirmed and absent\n{self.tails()}")
            count += len(confirmed)
        return count

    def test_D1_nothing_published_is_newer_than_the_disk_when_the_meter_is_killed_9(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add(simulation_speed=50, simulation_model="household")
        keys, tap = Keys.of(meter), self.tap(broker)
        server.run()
        published = 0
        for _ in range(rounds(15, 1000)):
            meter.run()
            meter.process.wait_out(METER_LINE)  # greeted
            time.sleep(self.random.uniform(0, 1.2))  # any instant will do, so this is no wait for anything
            meter.process.kill()
            published = self.check_wire_against_disk(keys, tap, meter)
        self.assertGreater(published, rounds(15, 1000))
        meter.run()
        meter.process.wait_out(r"confirmed by the server")
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertEqual(register["epoch"], 1, "a kill is no loss of the register")

    def check_wire_against_disk(self, keys, tap, meter):
        with sqlite3.connect(f"file:{meter.state / 'meter.sqlite'}?mode=ro", uri=True) as disk:
            epoch, last, numbered = disk.execute("SELECT epoch, last, numbered FROM register").fetchone()
        contents = {}
        for message in tap.seen(keys.up_topic):
            kind, fields = keys.open_up(message.payload)
            if kind == "Hello":
                continue
            at = fields["epoch"], fields["sequence"]
            self.assertLessEqual((*at, fields["total"]), (epoch, last, numbered), "newer than the disk")
            self.assertEqual(contents.setdefault(at, fields), fields, f"{at} has two contents")
        return len(contents)

    def test_D3_real_tokens_again_in_any_order_change_nothing(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add(simulation_seed=7)
        keys, tap = Keys.of(meter), self.tap(broker)
        server.run()
        meter.run()
        meter.process.wait_out(r"confirmed by the server", count=2)
        server.process.kill()  # from here on the tap alone sees the readings
        taken = len(meter.process.wait_out(METER_LINE))
        meter.process.wait_out(METER_LINE, count=taken + 4)
        meter.process.stop()
        register = meter.register()
        sealed = {}  # the newest token of every reading
        for message in tap.seen(keys.up_topic):
            kind, fields = keys.open_up(message.payload)
            if kind == "Reading":
                sealed[1, fields["sequence"]] = message.payload
        self.assertEqual(sorted(sealed), [(1, s) for s in range(1, register["sequence"] + 1)])
        server.run()
        self.wait(lambda: server.status()["sequence"] == register["sequence"], "the retained reading")

        self.flood(tap, keys, sealed)
        peer = Peer(self, tap, keys)
        peer.wait_confirmed(sealed)
        self.wait(lambda: set(server.rows()) == set(sealed), "a row a reading")
        rows, status = server.readings(), server.status()
        self.assertEqual(status["total_pulses"], register["total_pulses"])

        before = len(peer.answers("Confirmation"))
        self.flood(tap, keys, sealed)
        self.wait(lambda: {(1, s) for _, c in peer.answers("Confirmation")[before:]
                           for s in range(c["first"], c["last"] + 1)} >= set(sealed), "each confirmed once more")
        self.assertEqual(server.readings(), rows)
        after = server.status()
        for key in ("total_pulses", "total_kwh", "cost", "sequence", "refused", "held"):
            self.assertEqual(after[key], status[key], key)

    def flood(self, tap, keys, sealed):
        copies = [token for token in sealed.values() for _ in range(self.random.randint(1, 5))]
        self.random.shuffle(copies)
        for token in copies:
            tap.publish(keys.up_topic, token)

    def test_D3_each_of_many_readings_counts_once(self):
        broker = self.broker()
        server = self.server(broker)
        peer = Peer(self, self.tap(broker), Keys.of(server.add("hall")))
        server.run()
        peer.hello()
        count = rounds(3_600, 330_000)  # each is sent 1 to 5 times: 10,000 messages and more
        totals = [0]
        for _ in range(count):
            totals.append(totals[-1] + self.random.randint(0, 9))
        sealed = {(1, s): peer.keys.seal_up("Reading", **reading(1, s, totals[s])) for s in range(1, count + 1)}
        self.flood(peer.tap, peer.keys, sealed)
        peer.wait_confirmed(sealed, timeout=240 if not LONG else 3600)
        rows = server.rows()
        self.assertEqual({key: row["total_pulses"] for key, row in rows.items()},
                         {(1, s): totals[s] for s in range(1, count + 1)})
        self.assertEqual(server.status()["total_pulses"], totals[-1])
        self.assertEqual(server.status()["refused"], 0)
