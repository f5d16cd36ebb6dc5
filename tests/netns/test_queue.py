"""SYNs that wait in a packet queue before NAT turns them (auto_redirect). Topology: see lab.py.

What a client is told is tested by test_handshake.py, for this way as for the others; here, what only a queue has:
clients on this host and behind it, marks, numbers, and what becomes of those who wait.
"""

import errno
import json
import os
import signal
import socket
import struct
import threading
import time

from hostlab import HostTest
from lab import DEAD4, OTHER4, TARGET4, TARGET6, main, wait_for
from test_handshake import DIRECT, SOCKS, Socks

SIDES = ("client", "router")  # behind this host, and on it


class Queue(HostTest):
    def connect(self, ns, address, port, timeout=3, mark=0):
        sock = self.lab.socket(ns, socket.AF_INET6 if ":" in address else socket.AF_INET, timeout=timeout)
        if mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        try:
            sock.connect((address, port))
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as failed:
            return errno.errorcode[failed.errno]
        finally:
            sock.close()
        return "OK"

    def connecting(self, *where, **how):
        """The outcome of a connect() that goes on meanwhile."""
        box = []
        thread = threading.Thread(target=lambda: box.append(self.connect(*where, **how)))
        thread.start()

        def outcome():
            thread.join()
            return box[0]
        return outcome

    def tracked(self, port):
        """What conntrack knows about connections to a port."""
        lines = self.lab.run("router", "cat", "/proc/net/nf_conntrack").stdout.splitlines()
        return [line for line in lines if f"dport={port} " in line]

    def waiting(self):
        """Packets in all queues."""
        lines = self.lab.run("router", "cat", "/proc/net/netfilter/nfnetlink_queue").stdout.splitlines()
        return sum(int(line.split()[2]) for line in lines)

    def queued(self):
        """Packets that have ever been in a queue."""
        lines = self.lab.run("router", "cat", "/proc/net/netfilter/nfnetlink_queue").stdout.splitlines()
        return sum(int(line.split()[7]) for line in lines)

    def numbers(self):
        lines = self.lab.run("router", "cat", "/proc/net/netfilter/nfnetlink_queue").stdout.splitlines()
        return sorted(int(line.split()[0]) for line in lines)

    def take_queue(self, number):
        """Binds a queue as another program would (linux/netfilter/nfnetlink_queue.h)."""
        sock = self.lab.in_namespace("router", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12))
        self.lab.sockets.append(sock)
        sock.bind((0, 0))
        command = struct.pack("=HHBBH", 8, 1, 1, 0, 0)  # NFQA_CFG_CMD: bind
        message = struct.pack("!BBH", 0, 0, number) + command
        sock.send(struct.pack("=IHHII", 16 + len(message), 3 << 8 | 2, 1 | 4, 1, 0) + message)
        self.assertEqual(struct.unpack_from("=i", sock.recv(4096), 16)[0], 0)

    def test_clients_on_this_host_and_behind_it(self):
        self.lab.nginx()
        rules = [{"port": 81, "action": "reject"}, {"port": 82, "action": "reject", "method": "drop"}]
        hairpin = self.start({**DIRECT, "connect_timeout": "300ms"}, route={"rules": rules})
        for ns in SIDES:
            for address in (TARGET4, TARGET6):
                with self.subTest(ns=ns, address=address):
                    self.assertEqual(self.connect(ns, address, 80), "OK")
                    self.assertEqual(self.connect(ns, address, 81), "ECONNREFUSED")
                    self.assertEqual(self.connect(ns, address, 82, timeout=0.2), "ETIMEDOUT")
                    self.assertEqual(self.connect(ns, address, 4444), "ECONNREFUSED")
            self.assertEqual(self.connect(ns, DEAD4, 80, timeout=0.6), "ETIMEDOUT")
        counters = hairpin.counters()
        self.assertEqual((counters["tcp_opened"], counters["tcp_rejected"]), (4, 8))
        self.assertNotIn("tcp_reset", counters)
        self.assertNotIn("tcp_unclaimed", counters)  # each was found by the client that it was made for
        # Who was refused, or never answered, is none of conntrack's business.
        self.assertEqual(self.tracked(81) + self.tracked(82), [])
        wait_for(lambda: self.waiting() == 0, "verdicts about all")

    def test_who_waits_when_we_are_killed(self):
        """The kernel drops what waits; whoever asks again goes the usual way."""
        self.lab.nginx()
        socks = Socks(self.lab)
        socks.delay = 4
        hairpin = self.start(SOCKS)
        outcomes = [self.connecting(ns, TARGET4, 80, timeout=5) for ns in SIDES]
        wait_for(lambda: len(socks.requests) == 2 and self.waiting() == 2, "two SYNs that wait")
        os.kill(hairpin.pid, signal.SIGKILL)
        hairpin.process.wait()
        self.assertEqual([outcome() for outcome in outcomes], ["OK", "OK"])
        self.assertEqual(self.numbers(), [])

    def test_who_waits_when_rules_change(self):
        """The kernel drops what waits when a chain is exchanged: it is dialled once nevertheless."""
        socks = Socks(self.lab)
        socks.may_answer.clear()
        hairpin = self.start(SOCKS)
        begun = time.monotonic()
        outcome = self.connecting("client", TARGET4, 4200, timeout=8)
        wait_for(lambda: socks.requests and self.waiting() == 1, "a SYN that waits")
        path = self.lab.folder / "hairpin.json"
        config = json.loads(path.read_text())
        config["inbounds"][0]["exclude_uid"] = 4711
        path.write_text(json.dumps(config))
        os.kill(hairpin.pid, signal.SIGHUP)
        hairpin.wait_log("reloaded")
        socks.may_answer.set()
        asked_once = time.monotonic() - begun < 0.8  # the client's kernel repeats itself after 1 s
        self.assertEqual(outcome(), "OK")
        self.assertEqual(socks.requests, [4200])
        if asked_once:
            hairpin.wait_counters(tcp_syn_lost=1)

    def test_one_port_for_two_destinations(self):
        """NAT gives such a client another port: what was dialled for it is found nevertheless."""
        socks = Socks(self.lab)
        hairpin = self.start(SOCKS)
        for ns, address in (("client", "192.0.2.2"), ("router", "198.51.100.1")):
            for target in (TARGET4, OTHER4, "203.0.113.12"):
                sock = self.lab.socket(ns)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, 7777))
                sock.connect((target, 4200))
                self.assertEqual(sock.recv(10), b"hello")
        self.assertEqual(socks.requests, [4200] * 6)
        self.assertNotIn("tcp_unclaimed", hairpin.counters())

    def test_what_conntrack_does_not_know_is_not_asked_about(self):
        """It would keep no mark, and so be asked about for ever."""
        self.nft("router", """table inet others {
            chain before { type filter hook prerouting priority -301; tcp dport 4445 notrack; }
            chain here { type filter hook output priority -301; tcp dport 4445 notrack; } }""")
        self.start(DIRECT)
        self.assertEqual(self.connect("client", OTHER4, 4444), "ECONNREFUSED")
        before = self.queued()
        self.assertGreater(before, 0)
        for ns in SIDES:
            self.connect(ns, OTHER4, 4445, timeout=0.3)
            # An answer to nobody, and a SYN with a wrong sum.
            for flags in (0x12, 0x02):
                raw = self.lab.socket(ns, kind=socket.SOCK_RAW, protocol=socket.IPPROTO_TCP)
                raw.sendto(struct.pack("!HHIIBBHHH", 999, 4446, 1, 1, 5 << 4, flags, 1000, 0, 0), (OTHER4, 0))
        time.sleep(0.3)
        # Of this host's own packets the kernel does not check sums.
        self.assertLessEqual(self.queued() - before, 2)
        self.assertEqual(self.waiting(), 0)

    def test_a_repeated_syn_that_others_have_marked(self):
        """Its listener has answered: it is not the answer to a question of ours."""
        self.nft("router", """table inet others {
            chain before { type filter hook prerouting priority -300; iifname "r0" tcp dport 4444 meta mark set 0x2025; }
            chain lost { type filter hook postrouting priority 300; oifname "r0" tcp sport 4444 tcp flags syn,ack / syn,ack limit rate 1/minute burst 1 packets drop; } }""")
        self.lab.listen(TARGET4, 4444)
        self.start(DIRECT)
        self.assertEqual(self.connect("client", TARGET4, 4444), "OK")

    def test_marks_of_others(self):
        self.lab.nginx()
        self.nft("router", """table inet others {
            chain before { type filter hook prerouting priority -300; iifname "r0" tcp dport 80 meta mark set 0x12340000; }
            chain ours { type filter hook prerouting priority -300; iifname "r0" tcp dport 4444 meta mark set 0x2025; }
            chain after { type filter hook input priority 0; tcp flags syn / syn,ack,rst meta mark 0x12340000 counter; } }""")
        hairpin = self.start(DIRECT)
        listener = self.lab.listen(TARGET4, 4444)
        self.assertEqual(self.connect("client", TARGET4, 80), "OK")
        listed = self.lab.run("router", "nft", "list", "chain", "inet", "others", "after").stdout
        self.assertIn("packets 1", listed)  # bits that are not ours are as they were
        # A packet that comes with the value of an answer has not been asked about.
        self.assertEqual(self.connect("client", TARGET4, 4444), "OK")
        wait_for(lambda: self.captured(hairpin) == 2, "both to be captured")
        for mark in (0x2025, 0x2024, 1):
            self.assertEqual(self.connect("router", TARGET4, 4444, mark=mark), "OK")
        self.assertEqual(self.captured(hairpin), 2)  # marked sockets have chosen their way
        listener.close()

    def test_numbers(self):
        workers = len(os.sched_getaffinity(0))
        self.take_queue(100)
        with self.assertRaisesRegex(AssertionError, r"auto_redirect_nfqueue: .*NFQUEUE\) 100: .*busy"):
            self.start(DIRECT, auto_redirect_nfqueue=100)
        hairpin = self.start(DIRECT)
        self.assertEqual(self.numbers(), [100] + list(range(100 + workers, 100 + 2 * workers)))
        self.assertEqual(self.connect("client", OTHER4, 4444), "ECONNREFUSED")
        hairpin.stop()
        hairpin = self.start(DIRECT, auto_redirect_nfqueue=4000)
        self.assertEqual(self.numbers(), [100] + list(range(4000, 4000 + workers)))
        self.assertEqual(self.connect("client", OTHER4, 4444), "ECONNREFUSED")
        hairpin.stop()
        self.start(DIRECT, tcp_handshake="eager")
        self.assertEqual(self.numbers(), [100])


if __name__ == "__main__":
    main()
