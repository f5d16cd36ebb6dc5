"""A client's handshake is answered when its destination has answered. Topology: see lab.py.

Each test is one cell of a matrix: ctest runs them over a TUN, over a veth, and with auto_redirect, where SYNs
wait in a packet queue.
"""

import contextlib
import errno
import os
import signal
import socket
import struct
import threading
import time
import unittest

from hostlab import REDIRECT
from lab import CLIENT4, DEAD4, HAIRPIN, KIND, LabTest, OTHER4, PROXY4, TARGET4, TARGET6, main, need, wait_for

SOCKS = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1080}
DIRECT = {"type": "direct", "tag": "direct"}
EAGER = {"tcp_handshake": "eager"}


class Socks:
    """A SOCKS5 server that answers each request as its target's port says: 4200 + code. It waits for
    `delay` before, and counts."""

    def __init__(self, lab):
        self.listener = lab.listen(PROXY4, 1080)
        self.requests, self.delay, self.may_answer = [], 0, threading.Event()
        self.may_answer.set()
        lab.serve(self.listener, self.play)

    def play(self, sock):
        with contextlib.suppress(OSError), sock:
            sock.settimeout(5)
            sock.recv(3)
            sock.sendall(b"\x05\x00")
            port = struct.unpack("!H", sock.recv(100)[-2:])[0]
            self.requests.append(port)
            self.may_answer.wait(10)
            time.sleep(self.delay)
            sock.sendall(b"\x05" + bytes([port % 100]) + b"\x00\x01" + bytes(6))
            if port % 100 == 0:
                sock.sendall(b"hello")
                sock.recv(100)


class Handshake(LabTest):
    def hairpin(self, *outbounds, tun=None, **options):
        if not REDIRECT:
            return self.lab.hairpin(*outbounds, tun=tun, **options)
        return self.lab.hairpin(*outbounds, capture=False, **options, tun={
            "auto_route": True, "auto_redirect": True, "route_address": ["203.0.113.0/24", "2001:db8:99::/64"],
            **(tun or {})})

    def connect(self, address, port=80, ns="client", timeout=3):
        """The errno of connect(), 0 for success, and the socket."""
        sock = self.lab.socket(ns, socket.AF_INET6 if ":" in address else socket.AF_INET, timeout=timeout)
        try:
            sock.connect((address, port))
        except TimeoutError:
            return errno.ETIMEDOUT, sock
        except OSError as failed:
            return failed.errno, sock
        return 0, sock

    def outcome(self, *where, **how):
        code, sock = self.connect(*where, **how)
        sock.close()
        return errno.errorcode.get(code, "OK")

    def test_what_the_destination_says_is_what_the_client_hears(self):
        self.lab.nginx()
        for what, prefix4, prefix6 in (("unreachable", "203.0.113.70/32", "2001:db8:99::70/128"),
                                       ("prohibit", "203.0.113.71/32", "2001:db8:99::71/128")):
            self.lab.ip("server", f"route add {what} {prefix4}")
            self.lab.ip("server", f"-6 route add {what} {prefix6}")
        self.lab.sysctl("server", "net.ipv6.conf.all.forwarding=1")
        self.lab.ip("router", "route add unreachable 203.0.113.72/32")  # before the first hop
        hairpin = self.hairpin(DIRECT)
        rows = [(TARGET4, 80, "OK"), (TARGET6, 80, "OK"), (TARGET4, 4444, "ECONNREFUSED"), (TARGET6, 4444, "ECONNREFUSED"),
                ("203.0.113.70", 80, "EHOSTUNREACH"), ("2001:db8:99::70", 80, "ENETUNREACH"),
                ("203.0.113.71", 80, "EHOSTUNREACH"), ("2001:db8:99::71", 80, "EACCES"),
                ("203.0.113.72", 80, "EHOSTUNREACH")]
        for ns in ("client", "router"):
            for address, port, want in rows:
                with self.subTest(ns=ns, address=address, port=port):
                    self.assertEqual(self.outcome(address, port, ns=ns), want)
        counters = hairpin.counters()
        self.assertEqual(counters["tcp_opened"], 4)
        # With auto_redirect this host's own routes are asked first, and one of them says "unreachable" itself. A kernel
        # that still holds the client's socket when the ICMP error arrives asks again.
        failed = 2 * len(rows) - 4 - REDIRECT
        by_icmp = 2 * sum("UNREACH" in want or want == "EACCES" for _, _, want in rows)
        self.assertIn(counters["tcp_dial_failed"], range(failed, failed + by_icmp + 1))
        self.assertNotIn("tcp_reset", counters)  # nothing was accepted only to be reset

    def test_eager_is_as_it_was(self):
        self.hairpin(tun=EAGER)
        code, sock = self.connect(TARGET4, 4444)
        if code == 0:
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)
        self.assertIn(code, (0, errno.ECONNRESET))

    def test_replies_of_a_proxy(self):
        Socks(self.lab)
        self.hairpin(SOCKS)
        replies = {0: "OK", 1: "ECONNREFUSED", 2: "EHOSTUNREACH", 3: "ENETUNREACH", 4: "EHOSTUNREACH", 5: "ECONNREFUSED",
                   6: "EHOSTUNREACH", 7: "ECONNREFUSED", 8: "ENETUNREACH"}
        for code, want in replies.items():
            with self.subTest(reply=code):
                self.assertEqual(self.outcome(TARGET4, 4200 + code), want)
        self.assertEqual(self.outcome(TARGET6, 4202), "EACCES")  # "prohibited" has a name of its own in IPv6
        self.assertEqual(self.outcome(TARGET6, 4203), "ENETUNREACH")

    def test_bytes_that_come_with_the_reply_arrive(self):
        Socks(self.lab)
        self.hairpin(SOCKS)
        code, sock = self.connect(TARGET4, 4200)
        self.assertEqual((code, sock.recv(10)), (0, b"hello"))

    def test_one_dial_however_often_the_client_repeats_itself(self):
        socks = Socks(self.lab)
        socks.delay = 1.5  # the client repeats its SYN after 1 s
        hairpin = self.hairpin(SOCKS)
        start = time.monotonic()
        code, sock = self.connect(TARGET4, 4200)
        self.assertEqual((code, sock.recv(10)), (0, b"hello"))
        self.assertTrue(1.5 <= time.monotonic() - start < 2.8)  # at once, not at the next repetition
        self.assertEqual(socks.requests, [4200])
        hairpin.wait_counters(tcp_syn_repeated=1)

    def test_a_dead_host_is_silent(self):
        hairpin = self.hairpin({**DIRECT, "connect_timeout": "500ms"})
        self.assertEqual(self.outcome(DEAD4, timeout=0.9), "ETIMEDOUT")
        wait_for(lambda: hairpin.counters().get("tcp_dial_failed") == 1, "the dial to fail")
        self.assertNotIn("tcp_opened", hairpin.counters())

    def test_a_client_that_begins_anew_meanwhile(self):
        """The same port again, with another sequence number: that is the one who is answered."""
        socks = Socks(self.lab)
        socks.delay = 2
        hairpin = self.hairpin(SOCKS)
        for i in range(2):
            sock = self.lab.socket("client", timeout=0.1 if i == 0 else 6)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((CLIENT4, 7777))
            if i == 0:
                with self.assertRaises(TimeoutError):
                    sock.connect((TARGET4, 4200))
                sock.close()
        sock.connect((TARGET4, 4200))
        self.assertEqual(sock.recv(10), b"hello")
        self.assertEqual(socks.requests, [4200])
        hairpin.wait_counters(tcp_opened=1)

    def test_rules_are_asked_before_the_handshake(self):
        self.lab.nginx()
        hairpin = self.hairpin(
            DIRECT, {"type": "block", "tag": "none"},
            rules=[{"port": 81, "action": "reject"}, {"port": 82, "action": "reject", "method": "drop"},
                   {"port": 83, "outbound": "none"}, {"port": 84, "action": "route-options", "override_port": 80},
                   {"port": 25, "action": "sniff"}, {"domain": "x.example", "action": "reject"}])
        for address in (TARGET4, TARGET6):
            self.assertEqual(self.outcome(address, 81), "ECONNREFUSED")
            self.assertEqual(self.outcome(address, 82, timeout=0.3), "ETIMEDOUT")
            self.assertEqual(self.outcome(address, 83), "ECONNREFUSED")
            self.assertEqual(self.outcome(address, 84), "OK")
            self.assertEqual(self.outcome(address, 25), "ECONNREFUSED")  # its server speaks first: not sniffed
        sock = self.lab.socket("router")  # what a TUN has turned with a mirror is turned back to be answered
        sock.bind(("", 81))
        self.assertEqual(sock.connect_ex((TARGET4, 81)), errno.ECONNREFUSED)
        hairpin.wait_counters(tcp_rejected=7)
        self.assertNotIn("tcp_reset", hairpin.counters())

    def test_a_rule_that_wants_to_hear_the_client_is_eager(self):
        self.lab.nginx()
        sniff = [{"action": "sniff"}, {"protocol": "tls", "action": "reject"}]
        self.hairpin(DIRECT, rules=sniff)
        code, sock = self.connect(TARGET4, 4444)
        self.assertEqual(code, 0)  # accepted, though nobody listens there
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with self.assertRaises(ConnectionResetError):
            sock.recv(1)

    def test_sniffing_that_decides_nothing_does_not_matter(self):
        self.hairpin(DIRECT, rules=[{"action": "sniff"}, {"port": 1, "action": "reject"}])
        self.assertEqual(self.outcome(TARGET4, 4444), "ECONNREFUSED")

    def test_a_reload_while_it_is_dialled(self):
        socks = Socks(self.lab)
        socks.delay = 0.5
        hairpin = self.hairpin(SOCKS, DIRECT)
        box = []
        waiting = threading.Thread(target=lambda: box.append(self.connect(TARGET4, 4200)))
        waiting.start()
        wait_for(lambda: socks.requests, "the proxy to be asked")
        path = self.lab.folder / "hairpin.json"
        path.write_text(path.read_text().replace('"rules": []', '"rules": [{"network": "tcp", "action": "reject"}]'))
        os.kill(hairpin.pid, signal.SIGHUP)
        hairpin.wait_log("reloaded")
        waiting.join()
        code, sock = box[0]
        self.assertEqual((code, sock.recv(10)), (0, b"hello"))  # decided before
        self.assertEqual(self.outcome(TARGET4, 4200), "ECONNREFUSED")

    def test_a_flood_of_syns_does_not_stop_others(self):
        self.lab.nginx()
        self.lab.ip("router", "route add 198.18.0.0/15 via 192.0.2.2")  # where the flood claims to come from
        hairpin = self.hairpin(DIRECT, level="info")
        listener = self.lab.listen(OTHER4, 7)
        code, client = self.connect(OTHER4, 7)
        self.assertEqual(code, 0)
        served, _ = listener.accept()
        served.settimeout(5)
        flood = self.lab.start("client", os.environ["HAIRPIN_SYN_FLOOD"], "1.5", "200000", "198.18.0.0", TARGET4, "80")
        rounds, longest, box = 0, 0, []
        newcomer = threading.Timer(0.3, lambda: box.append(self.connect(OTHER4, 7, timeout=5)))
        newcomer.start()
        while flood.popen.poll() is None:
            before = time.monotonic()
            client.sendall(b"x")
            self.assertEqual(served.recv(1), b"x")
            served.sendall(b"y")
            self.assertEqual(client.recv(1), b"y")
            rounds, longest = rounds + 1, max(longest, time.monotonic() - before)
        newcomer.join()
        sent, seconds = flood.out().split()
        counters = hairpin.counters()
        print(f"  {int(sent) / float(seconds):,.0f} SYNs/s; another flow: {rounds} round trips, the longest "
              f"{longest * 1000:.0f} ms; {counters.get('tcp_syn_overload', 0)} let in, {counters.get('tcp_syn_dropped', 0)} dropped, "
              f"{counters.get('tcp_syn_lost', 0)} lost")
        self.assertEqual(box[0][0], 0)
        # That it goes on, not how fast: everything here shares two processors with the flood.
        self.assertGreater(rounds, 0)
        self.assertLess(longest, 5)
        self.assertGreater(counters["tcp_syn_overload"], 0)
        self.assertEqual(self.outcome(TARGET4, timeout=5), "OK")

    @unittest.skipIf(REDIRECT, "exec has a namespace of its own")
    def test_exec(self):
        script = ("import socket, sys\n"
                  "try: socket.create_connection((sys.argv[1], 4444), 3); print('up')\n"
                  "except OSError as failed: print(type(failed).__name__)")
        # Accepted, and reset: before or after connect() has returned.
        for options, want in (((), "^ConnectionRefusedError$"), (("--tcp-handshake", "eager"), "^(up|ConnectionResetError)$")):
            for address in (TARGET4, TARGET6):
                done = self.lab.run("router", HAIRPIN, "exec", *KIND, *options, "--", "python3", "-c", script,
                                    address)
                self.assertRegex(done.stdout, want)

    def test_happy_eyeballs(self):
        """curl falls from a dead IPv6 to IPv4 after its 200 ms, which it cannot where all are accepted."""
        need("curl")
        self.lab.nginx()
        self.lab.ip("server", "-6 route add blackhole 2001:db8:99::66/128")
        self.lab.sysctl("server", "net.ipv6.conf.all.forwarding=1")
        ask = ("curl", "-sS", "--max-time", "4", "--resolve", f"both.example:80:[2001:db8:99::66],{TARGET4}",
               "-o", "/dev/null", "-w", "%{http_code} %{remote_ip} %{time_total}", "http://both.example/")
        hairpin = self.hairpin({**DIRECT, "connect_timeout": "3s"})
        code, address, took = self.lab.run("client", *ask).stdout.split()
        print(f"  happy eyeballs, faithful: {code} from {address} in {float(took) * 1000:.0f} ms")
        self.assertEqual((code, address), ("200", TARGET4))
        self.assertTrue(0.19 < float(took) < 1, took)
        hairpin.stop()
        self.hairpin({**DIRECT, "connect_timeout": "1s"}, tun=EAGER)
        done = self.lab.run("client", *ask, check=False)
        code, address, took = done.stdout.split()
        print(f"  happy eyeballs, eager: {code} from {address} in {float(took) * 1000:.0f} ms: {done.stderr.strip()}")
        self.assertNotEqual(code, "200")


if __name__ == "__main__":
    main()
