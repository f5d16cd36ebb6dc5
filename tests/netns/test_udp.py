"""UDP through the TUN and the kernel's stack. Topology: see lab.py."""

import random
import select
import socket
import threading
import time

from lab import CLIENT4, LabTest, OTHER4, OTHER6, PROXY4, TARGET4, TARGET6, main, need, wait_for

SOCKS = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1081}


class Echo:
    """Answers each datagram with the sender it saw and the payload."""

    def __init__(self, lab, address, port, other=None):
        self.sock = lab.udp("server", address, port)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.other = other
        self.seen = set()
        self.running = True
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while self.running:
            if not select.select([self.sock], [], [], 0.1)[0]:
                continue
            try:
                payload, sender = self.sock.recvfrom(65535)
            except OSError:
                continue
            self.seen.add(sender[:2])
            self.sock.sendto(payload, sender)
            if self.other:
                self.other.sendto(b"other:" + payload, sender)

    def stop(self):
        self.running = False
        self.thread.join()


class UdpTest(LabTest):
    def echo(self, address, port=7, other=None):
        echo = Echo(self.lab, address, port, other)
        self.addCleanup(echo.stop)
        return echo

    def client(self, ns, family=socket.AF_INET):
        sock = self.lab.socket(ns, family, socket.SOCK_DGRAM, 5)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        return sock

    def ask(self, sock, payload, to):
        sock.sendto(payload, to)
        return sock.recvfrom(65535)


class Exchange(UdpTest):
    def check_ping_pong(self, *outbounds, targets=(TARGET4, TARGET6)):
        hairpin = self.lab.hairpin(*outbounds)
        for target in targets:
            echo = self.echo(target)
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            for ns in ("router", "client"):
                with self.subTest(target=target, ns=ns):
                    clients = [self.client(ns, family) for _ in range(200)]
                    for round_ in range(3):
                        for i, sock in enumerate(clients):
                            sock.sendto(b"%d:%d" % (i, round_), (target, 7))
                        for i, sock in enumerate(clients):
                            payload, sender = sock.recvfrom(100)
                            self.assertEqual(payload, b"%d:%d" % (i, round_))
                            self.assertEqual(sender[:2], (target, 7))
                    for sock in clients:
                        sock.close()
            # Each client had one port of its own, and kept it.
            self.assertEqual(len(echo.seen), 400)
        counters = hairpin.counters()
        self.assertEqual(counters["udp_opened"], 400 * len(targets))
        self.assertEqual(counters["udp_out"], 1200 * len(targets))

    def test_two_hundred_clients_direct(self):
        self.check_ping_pong()

    def test_two_hundred_clients_through_dante(self):
        self.lab.dante()
        self.check_ping_pong({**SOCKS, "connect_timeout": "20s"}, targets=(TARGET4,))

    def check_independent(self, target, other, family):
        """Two remotes answer one client port, and the second was never asked: RFC 4787, REQ-1 and
        REQ-8."""
        second = self.lab.udp("server", other, 9999)
        first = self.echo(target, 7, other=second)
        for ns in ("router", "client"):
            sock = self.client(ns, family)
            sock.sendto(b"x", (target, 7))
            got = {sock.recvfrom(100)[:2][0]: None for _ in range(2)}
            self.assertEqual(set(got), {b"x", b"other:x"})
            # The other one's own name is on its datagram.
            sock.sendto(b"y", (target, 7))
            senders = {sock.recvfrom(100)[1][:2] for _ in range(2)}
            self.assertEqual(senders, {(target, 7), (other, 9999)})
            # And it sees the same port of ours as the first.
            echo = self.echo(other, 8)
            self.ask(sock, b"z", (other, 8))
            self.assertEqual(len(echo.seen), 1)
            self.assertLessEqual(echo.seen, first.seen)
            echo.stop()
            echo.sock.close()

    def test_endpoint_independent_v4(self):
        self.lab.hairpin()
        self.check_independent(TARGET4, OTHER4, socket.AF_INET)

    def test_endpoint_independent_v6(self):
        self.lab.hairpin()
        self.check_independent(TARGET6, OTHER6, socket.AF_INET6)

    def test_one_port_for_all_destinations(self):
        self.lab.hairpin()
        first, second = self.echo(TARGET4), self.echo(OTHER4)
        for ns in ("router", "client"):
            sock = self.client(ns)
            for port in range(3):
                self.ask(sock, b"x", (TARGET4, 7))
                self.ask(sock, b"x", (OTHER4, 7))
        self.assertEqual(first.seen, second.seen)
        self.assertEqual(len(first.seen), 2)

    def check_large(self, targets, *outbounds):
        self.lab.hairpin(*outbounds)
        for target in targets:
            self.echo(target)
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            for ns in ("router", "client"):
                for size in (1, 1472, 1473, 8000, 60_000, 65_507 if not outbounds else 60_000):
                    with self.subTest(target=target, ns=ns, size=size):
                        sock = self.client(ns, family)
                        payload = bytes(i % 251 for i in range(size))
                        answer, sender = self.ask(sock, payload, (target, 7))
                        self.assertTrue(answer == payload, f"{len(answer)} bytes of {size}")
                        self.assertEqual(sender[:2], (target, 7))

    def test_datagrams_of_any_size(self):
        self.check_large((TARGET4, TARGET6))

    def test_large_datagrams_through_dante(self):
        self.lab.dante()
        self.check_large((TARGET4,), SOCKS)

    def test_large_datagrams_on_a_small_mtu(self):
        """The client's datagrams reach the TUN in fragments, and the answers must be cut too."""
        self.lab.ip("client", "link set c0 mtu 1280")
        self.lab.ip("router", "link set r0 mtu 1280")
        self.lab.hairpin(tun={"mtu": 1280})
        for target in (TARGET4, TARGET6):
            self.echo(target)
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            for ns in ("router", "client"):
                with self.subTest(target=target, ns=ns):
                    payload = bytes(i % 251 for i in range(50_000))
                    answer, _ = self.ask(self.client(ns, family), payload, (target, 7))
                    self.assertTrue(answer == payload)

    def check_bursts(self, targets, *outbounds):
        """Many datagrams at once, of one size and of mixed ones, empty ones among them, each in a system call
        of its own or cut by the kernel: all come back, as they were and in their order."""
        UDP_SEGMENT = 103
        count = 60  # of 700 bytes: the 212,992 bytes of buffer that dante and the clients have hold 92
        hairpin = self.lab.hairpin(*outbounds, level="info")
        rng = random.Random(3)
        for target in targets:
            self.echo(target)
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            for ns in ("router", "client"):
                for sizes in ([700] * count, [rng.choice((0, 1, 40, 700, 1200)) for _ in range(count)],
                              [100, 0] * (count // 2), [1200] * 20 + [3] + [1200] * 20):
                    with self.subTest(target=target, ns=ns, sizes=sizes[:4]):
                        sock = self.client(ns, family)
                        sent = [b"%03d" % i + rng.randbytes(size) if size else b"" for i, size in enumerate(sizes)]
                        # While the outbound is being opened only so many are kept.
                        self.assertEqual(self.ask(sock, b"first", (target, 7))[0], b"first")
                        for payload in sent:
                            sock.sendto(payload, (target, 7))
                        got = []
                        try:
                            while len(got) < len(sent):
                                got.append(sock.recv(65535))
                        except TimeoutError:
                            pass
                        self.assertTrue(got == sent, f"{len(got)} of {len(sent)} datagrams, first difference at "
                                        f"{next((i for i, (a, b) in enumerate(zip(got, sent)) if a != b), None)}")
                with self.subTest(target=target, ns=ns, cut_by="the kernel"):
                    sock = self.client(ns, family)
                    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 900)
                    whole = rng.randbytes(900 * 40 + 17)
                    sock.sendto(whole, (target, 7))
                    self.assertTrue(b"".join(sock.recv(65535) for _ in range(41)) == whole)
        counters = hairpin.counters()
        self.assertEqual(counters["udp_in"], counters["udp_out"])
        self.assertNotIn("udp_send_failed", counters)
        self.assertNotIn("tun_write_error", counters)

    def test_bursts(self):
        self.check_bursts((TARGET4, TARGET6))

    def test_bursts_through_dante(self):
        self.lab.dante()
        self.check_bursts((TARGET4,), SOCKS)

    def test_empty_datagram(self):
        self.lab.hairpin()
        self.echo(TARGET4)
        self.assertEqual(self.ask(self.client("client"), b"", (TARGET4, 7))[0], b"")

    def test_same_source_and_destination_port(self):
        self.lab.hairpin()
        for target in (TARGET4, TARGET6):
            self.echo(target, 5353)
            for ns in ("router", "client"):
                with self.subTest(target=target, ns=ns):
                    sock = self.client(ns, socket.AF_INET6 if ":" in target else socket.AF_INET)
                    sock.bind(("", 5353))
                    sock.connect((target, 5353))
                    sock.send(b"me")
                    self.assertEqual(sock.recv(10), b"me")
                    sock.close()


class Dns(UdpTest):
    def dig(self, ns, server, *options):
        return self.lab.run(ns, "dig", "+time=3", "+tries=1", f"@{server}", *options).stdout

    def check_dns(self, *outbounds, servers=(TARGET4, TARGET6)):
        need("dig")
        self.lab.dnsmasq()
        self.lab.hairpin(*outbounds)
        for server in servers:
            for ns in ("router", "client"):
                with self.subTest(server=server, ns=ns):
                    self.assertEqual(self.dig(ns, server, "+short", "www.test.example"), f"{TARGET4}\n")
                    self.assertEqual(self.dig(ns, server, "+short", "+tcp", "www.test.example"), f"{TARGET4}\n")
                    # Too large for a datagram of 512 bytes: truncated, then asked again over TCP.
                    big = self.dig(ns, server, "+noedns", "big.example", "TXT")
                    self.assertIn("Truncated, retrying in TCP mode", big)
                    self.assertEqual(big.count("x" * 200), 10)

    def test_direct(self):
        self.check_dns()

    def test_through_dante(self):
        self.lab.dante()
        self.check_dns(SOCKS, servers=(TARGET4,))


class Refusals(UdpTest):
    def check_refused(self, ns, target):
        sock = self.client(ns, socket.AF_INET6 if ":" in target else socket.AF_INET)
        sock.connect((target, 7))
        sock.send(b"x")
        with self.assertRaises(ConnectionRefusedError):
            sock.recv(10)

    def test_block_answers_port_unreachable(self):
        hairpin = self.lab.hairpin({"type": "block", "tag": "none"})
        for ns in ("router", "client"):
            for target in (TARGET4, TARGET6):
                with self.subTest(ns=ns, target=target):
                    self.check_refused(ns, target)
        hairpin.wait_counters(udp_rejected=4)

    def test_http_proxy_carries_no_udp(self):
        self.lab.hairpin({"type": "http", "tag": "p", "server": PROXY4, "server_port": 8888})
        self.check_refused("client", TARGET4)

    def test_drop_is_silent(self):
        hairpin = self.lab.hairpin(rules=[{"network": "udp", "action": "reject", "method": "drop"}])
        sock = self.client("client")
        sock.settimeout(0.5)
        sock.connect((TARGET4, 7))
        sock.send(b"x")
        with self.assertRaises(TimeoutError):
            sock.recv(10)
        hairpin.wait_counters(udp_rejected=1)

    def test_each_datagram_is_dispatched(self):
        """One client socket, two ways: what a rule says of a destination holds for it alone."""
        hairpin = self.lab.hairpin(rules=[{"ip_cidr": OTHER4, "action": "reject"}])
        self.echo(TARGET4)
        sock = self.client("client")
        self.assertEqual(self.ask(sock, b"1", (TARGET4, 7))[0], b"1")
        sock.sendto(b"2", (OTHER4, 7))
        self.assertEqual(self.ask(sock, b"3", (TARGET4, 7))[0], b"3")
        # Packets to another destination may come out of another queue of the device, and later.
        wait_for(lambda: hairpin.counters().get("udp_rejected") == 1, "the second to be rejected")

    def test_proxy_without_udp(self):
        """microsocks answers UDP ASSOCIATE with an error: told once, and other flows go on."""
        self.lab.microsocks(port=1081)
        hairpin = self.lab.hairpin(SOCKS)
        sock = self.client("client")
        sock.connect((TARGET4, 7))
        sock.send(b"x")
        with self.assertRaises(ConnectionRefusedError):
            sock.recv(10)
        hairpin.wait_log(rf"udp {CLIENT4}:\d+ -> {TARGET4}:7 via proxy failed: SOCKS5: .*not supported")
        for _ in range(20):  # a client that does not give up does not make us dial each time
            sock.send(b"x")
        time.sleep(0.2)
        self.assertEqual(hairpin.log().count("via proxy failed"), 1)
        self.lab.nginx()
        got = self.lab.run("client", "curl", "-sS", "--max-time", "5", f"http://{TARGET4}/")
        self.assertEqual(got.stdout, "hello from nginx\n")


class Lifetime(UdpTest):
    def open_count(self, hairpin):
        counters = hairpin.counters()
        return counters.get("udp_opened", 0) - counters.get("udp_closed", 0)

    def test_two_way_association_ends_after_its_timeout(self):
        hairpin = self.lab.hairpin(tun={"udp_timeout": "2400ms"})
        echo = self.echo(TARGET4)
        sock = self.client("client")
        for _ in range(4):
            self.ask(sock, b"x", (TARGET4, 7))
            time.sleep(1.2)
        self.assertEqual(len(echo.seen), 1)
        wait_for(lambda: self.open_count(hairpin) == 0, "the association to end", 10)
        before = hairpin.descriptors()
        self.ask(sock, b"x", (TARGET4, 7))
        self.assertEqual(hairpin.descriptors(), before + 1)

    def test_dns_association_ends_soon(self):
        self.lab.dnsmasq()
        hairpin = self.lab.hairpin()
        self.lab.run("client", "dig", "+short", f"@{TARGET4}", "www.test.example")
        start = time.monotonic()
        wait_for(lambda: self.open_count(hairpin) == 0, "the association to end", 15)
        self.assertGreater(time.monotonic() - start, 8)

    def test_the_least_recently_used_goes_first(self):
        hairpin = self.lab.hairpin(tun={"udp_nat_max": 10})
        echo = self.echo(TARGET4)
        old = self.client("client")
        self.ask(old, b"x", (TARGET4, 7))
        for _ in range(60):
            self.ask(self.client("client"), b"x", (TARGET4, 7))
            self.ask(old, b"x", (TARGET4, 7))  # kept by its use
        counters = hairpin.counters()
        # Clients are spread over the workers by port, and each has room for ten.
        self.assertLessEqual(counters["udp_opened"] - counters["udp_closed"], 20)
        self.assertEqual(counters["udp_evicted"], counters["udp_closed"])
        self.assertGreaterEqual(counters["udp_evicted"], 41)
        self.assertEqual(counters["udp_opened"], 61)
        # The kernel may give a port that was given back to another one: seldom, but it does.
        self.assertGreaterEqual(len(echo.seen), 55)

    def test_the_proxy_ends_the_association(self):
        """The end of its TCP connection ends an association; the next datagram opens a new one."""
        listener = self.lab.listen(PROXY4, 1081)
        hairpin = self.lab.hairpin(SOCKS)
        sock = self.client("client")
        for round_ in range(2):
            sock.sendto(b"ask", (TARGET4, 7))
            control, _ = listener.accept()
            relay = self.lab.udp("server", PROXY4)
            self.assertEqual(control.recv(3), b"\x05\x01\x00")
            control.sendall(b"\x05\x00")
            self.assertEqual(control.recv(10), b"\x05\x03\x00\x01" + bytes(6))
            control.sendall(b"\x05\x00\x00\x01" + bytes(4) + relay.getsockname()[1].to_bytes(2, "big"))
            head = b"\0\0\0\x01" + socket.inet_aton(TARGET4) + b"\0\x07"
            datagram, sender = relay.recvfrom(100)
            self.assertEqual(datagram, head + b"ask")
            # Neither a stranger nor a fragment is the proxy's word.
            self.lab.udp("server", TARGET4).sendto(head + b"forged", sender)
            relay.sendto(b"\0\0\1\x01" + head[4:] + b"fragment", sender)
            relay.sendto(head + b"answer", sender)
            self.assertEqual(sock.recv(100), b"answer")
            control.close()
            wait_for(lambda: hairpin.log().count("proxy closed the UDP association") == round_ + 1, "the end")
            time.sleep(1.1)  # no client makes us dial more than once a second


if __name__ == "__main__":
    main()
