"""TCP through the TUN and the kernel's stack. Topology: see lab.py."""

import contextlib
import errno
import hashlib
import os
import random
import re
import socket
import struct
import subprocess
import threading
import time

from lab import (CLIENT4, DEAD4, DEVICES, LabTest, OTHER4, PROXY4, PROXY6, ROUTER4, TARGET4, TARGET6, main, need,
                 wait_for)

SOCKS = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1080}


def url(address, path=""):
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}/{path}"


class Reach(LabTest):
    """A request gets through each outbound, for the host itself and for a client behind it."""

    def fetch(self, ns, address, *options):
        done = self.lab.run(ns, "curl", "-sS", "--max-time", "10", *options, url(address), check=False)
        return done.stdout or done.stderr

    def check_all(self, *outbounds, families=(TARGET4, TARGET6)):
        self.lab.nginx()
        hairpin = self.lab.hairpin(*outbounds)
        for ns in ("router", "client"):
            for address in families:
                with self.subTest(ns=ns, address=address):
                    self.assertEqual(self.fetch(ns, address), "hello from nginx\n")
        hairpin.wait_counters(tcp_opened=2 * len(families))

    def test_direct(self):
        self.check_all()

    def test_socks_without_password(self):
        self.lab.microsocks()
        self.check_all(SOCKS)

    def test_socks_with_password(self):
        self.lab.microsocks("-u", "joe", "-P", "s3cret")
        self.check_all({**SOCKS, "username": "joe", "password": "s3cret"})

    def test_socks_by_dante(self):
        self.lab.dante()
        self.check_all({**SOCKS, "server_port": 1081}, families=(TARGET4,))

    def test_socks_pipelined(self):
        """Greeting and request in one: TCP, and the association for UDP."""
        need("dig")
        self.lab.dante()
        self.lab.dnsmasq()
        self.check_all({**SOCKS, "server_port": 1081, "pipeline": True}, families=(TARGET4,))
        asked = self.lab.run("client", "dig", "+short", "+tries=1", "+time=5", f"@{TARGET4}", "www.test.example")
        self.assertEqual(asked.stdout, f"{TARGET4}\n")

    def test_socks_server_over_ipv6(self):
        need("socat")
        self.lab.microsocks()
        self.lab.start("server", "socat", f"TCP6-LISTEN:1090,fork,ipv6only=1", f"TCP:{PROXY4}:1080")
        self.lab.wait_listening("server", 1090)
        self.check_all({**SOCKS, "server": PROXY6, "server_port": 1090})

    def test_http_connect(self):
        self.lab.tinyproxy()
        self.check_all({"type": "http", "tag": "p", "server": PROXY4, "server_port": 8888})

    def test_http_connect_with_password(self):
        self.lab.tinyproxy(auth=("joe", "s3cret"))
        self.check_all({"type": "http", "tag": "p", "server": PROXY4, "server_port": 8888,
                        "username": "joe", "password": "s3cret"})

    def test_the_proxy_and_not_we_reach_the_target(self):
        self.lab.nginx()
        self.lab.microsocks()
        self.lab.hairpin(SOCKS, {"type": "direct", "tag": "direct"},
                         rules=[{"source_ip_cidr": CLIENT4, "outbound": "direct"}])
        ask = ("curl", "-sS", "--max-time", "10", url(TARGET4, "who"))
        self.assertEqual(self.lab.run("router", *ask).stdout, f"{TARGET4}\n")
        self.assertEqual(self.lab.run("client", *ask).stdout, "198.51.100.1\n")

    def test_rules_choose(self):
        self.lab.nginx()
        self.lab.hairpin({"type": "block", "tag": "none"}, {"type": "direct", "tag": "direct"},
                         rules=[{"network": "tcp", "port": 80, "ip_cidr": [TARGET4], "outbound": "direct"},
                                {"ip_cidr": "2001:db8:99::/64", "action": "reject"}])
        self.assertEqual(self.fetch("client", TARGET4), "hello from nginx\n")
        for refused in (OTHER4, TARGET6):
            self.assertIn("Couldn't connect", self.fetch("client", refused))

    def test_bound_to_another_source_address(self):
        self.lab.nginx()
        hairpin = self.lab.hairpin()
        answer = self.fetch("router", TARGET4, "--interface", "192.0.2.1")
        self.assertEqual(answer, "hello from nginx\n")
        hairpin.wait_log("tcp 192.0.2.1:")

    def test_same_source_and_destination_port(self):
        hairpin = self.lab.hairpin()
        for target in (TARGET4, TARGET6):
            for ns in ("router", "client"):
                with self.subTest(target=target, ns=ns):
                    listener = self.lab.listen(target, 5201)
                    client = self.lab.socket(ns, socket.AF_INET6 if ":" in target else socket.AF_INET)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    client.bind(("", 5201))
                    client.connect((target, 5201))
                    served, peer = listener.accept()
                    served.sendall(b"to you")
                    self.assertEqual(client.recv(100), b"to you")
                    for sock in (client, served, listener):
                        sock.close()
        hairpin.wait_counters(tcp_opened=4)

    def test_strict_reverse_path_filter(self):
        self.lab.nginx()
        hairpin = self.lab.hairpin()
        self.lab.sysctl("router", *(f"net.ipv4.conf.{device}.rp_filter=1" for device in DEVICES))
        for ns in ("router", "client"):
            self.assertEqual(self.fetch(ns, TARGET4), "hello from nginx\n")


class Bytes(LabTest):
    """What arrives is what was sent."""

    # A gibibyte; less where a sanitizer makes each byte dear: what is to be seen there is seen at once.
    SIZE = int(os.environ.get("HAIRPIN_BULK", 1 << 30))

    def pattern(self):
        """Bytes that no two places share, made faster than they are moved."""
        path = self.lab.folder / "www" / "big"
        need("openssl")
        with open(path, "wb") as out:
            maker = subprocess.Popen(
                ["openssl", "enc", "-aes-128-ctr", "-K", "0" * 32, "-iv", "0" * 32, "-in", "/dev/zero"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            left = self.SIZE
            while left:
                piece = maker.stdout.read(min(left, 1 << 20))
                out.write(piece)
                left -= len(piece)
            maker.kill()
            maker.wait()
        path.chmod(0o644)
        return path

    def test_bulk_each_way(self):
        need("socat")
        self.lab.nginx()
        self.lab.dante()  # microsocks moves 60 MB a second
        path = self.pattern()
        hairpin = self.lab.hairpin({**SOCKS, "server_port": 1081}, level="info")
        for address in (TARGET4, TARGET6):
            with self.subTest(address=address, way="down"):
                self.lab.run("client", "sh", "-c", f"curl -sS '{url(address, 'big')}' | cmp - {path}")
            with self.subTest(address=address, way="up"):
                kind, host = ("TCP6", f"[{address}]") if ":" in address else ("TCP4", address)
                result = self.lab.folder / f"up-{kind}"
                sink = self.lab.start("server", "socat", "-u", "-b", "262144", f"{kind}-LISTEN:9000,reuseaddr",
                                      f"SYSTEM:cmp - {path} && echo same > {result}")
                self.lab.wait_listening("server", 9000)
                self.lab.run("client", "socat", "-u", "-b", "262144", f"FILE:{path}", f"{kind}:{host}:9000")
                sink.wait(60)
                wait_for(lambda: result.exists() and result.read_text() == "same\n", "the same bytes to come up")
        self.assertNotIn("tun_write_error", hairpin.counters())

    def test_iperf3(self):
        need("iperf3")
        hairpin = self.lab.hairpin()
        for target in (TARGET4, TARGET6):
            # Bound: a server on all addresses answers UDP from another one than it was asked at.
            server = self.lab.start("server", "iperf3", "-s", "-B", target)
            self.lab.wait_listening("server", 5201)
            for ns in ("router", "client"):
                datagrams = ("-u", "-b", "80M", "-n", "3M")
                for options in (("-n", "128M"), ("-n", "128M", "-R"), ("-n", "128M", "-P", "4"),
                                datagrams, (*datagrams, "-R")):
                    with self.subTest(ns=ns, target=target, options=options):
                        end = self.lab.iperf(ns, target, *options)
                        total = end["sum"] if "-u" in options else end["sum_received"]
                        self.assertGreater(total["bytes"], 1_000_000)
                        self.assertLess(total.get("lost_percent", 0), 50)  # UDP's bytes are those sent
            server.stop()
        self.assertNotIn("tun_write_error", hairpin.counters())

    def test_stalls_and_small_windows(self):
        """A reader that pauses makes every kind of short write happen, in the copying part and in the
        splicing part of a flow."""
        self.lab.hairpin()
        listener = self.lab.listen(TARGET4, 7000)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client = self.lab.socket("client")
        client.connect((TARGET4, 7000))
        served, _ = listener.accept()
        sent, size = hashlib.sha256(), 0

        def send():
            nonlocal size
            for i in range(200):
                piece = os.urandom(1 + (i * 7919) % 200_000)
                sent.update(piece)
                size += len(piece)
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = hashlib.sha256()
        for i in range(10**9):
            piece = served.recv(65536)
            if not piece:
                break
            got.update(piece)
            if i % 50 == 0:
                time.sleep(0.01)
        sender.join()
        self.assertEqual(got.hexdigest(), sent.hexdigest())

    def test_stalls_and_resets(self):
        """Thirty flows at a time, both ways, with ends that stop reading for a while, close one direction,
        or reset. What arrives is what was sent, or its beginning where the flow was reset."""
        hairpin = self.lab.hairpin(level="info")
        listener = self.lab.listen(TARGET4, 7000)
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"       seed {seed}", flush=True)
        wrong, resets = [], []
        served_done = []

        def stream(number, direction, size):
            """The bytes that one end of a flow sends: nobody else's."""
            return random.Random(f"{seed}/{number}/{direction}").randbytes(size)

        def send(sock, data, rng):
            at = 0
            while at < len(data):
                at += sock.send(data[at:at + rng.randint(1, 300_000)])
                if rng.random() < 0.05:
                    time.sleep(rng.random() * 0.05)
            sock.shutdown(socket.SHUT_WR)

        def receive(sock, expected, rng):
            """The number of bytes until the end; complains of any that is not the expected one."""
            got, at = hashlib.sha256(), 0
            while piece := sock.recv(rng.choice((100, 5_000, 200_000))):
                got.update(piece)
                at += len(piece)
                if rng.random() < 0.02:
                    time.sleep(rng.random() * 0.1)
            if got.digest() != hashlib.sha256(expected[:at]).digest():
                wrong.append(f"other bytes, {at} of {len(expected)}")
            return at

        def end(sock, number, mine, theirs, reset_at):
            rng = random.Random(f"{seed}/{number}/{mine}/stalls")
            out, expected = stream(number, mine, sizes[number][mine]), stream(number, theirs, sizes[number][theirs])
            sender = threading.Thread(target=quiet, args=(send, sock, out, rng))
            sender.start()
            try:
                if reset_at is not None:
                    time.sleep(reset_at)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    resets.append(number)
                    sock.close()
                    return
                got = receive(sock, expected, rng)
                if got != len(expected) and number not in doomed:
                    wrong.append(f"flow {number}: {got} of {len(expected)} bytes")
            except OSError:
                if number not in doomed:
                    wrong.append(f"flow {number} was reset")
            finally:
                sender.join()
                sock.close()

        def quiet(function, *args):
            try:
                function(*args)
            except OSError:
                pass  # the other direction tells

        rng = random.Random(seed)
        count = 30
        sizes = [(rng.choice((0, 1000, 300_000, 6_000_000)), rng.choice((0, 1000, 300_000, 6_000_000)))
                 for _ in range(count)]
        doomed = set(rng.sample(range(count), count // 3))
        sizes[min(doomed)] = (6_000_000, 6_000_000)  # more than fits into all buffers: it cannot end before its reset
        resets_at = {number: rng.random() * 0.3 for number in doomed}

        def serve():
            threads = []
            for _ in range(count):
                sock, _ = listener.accept()
                sock.settimeout(20)
                number = sock.recv(1)[0]
                threads.append(threading.Thread(target=end, args=(sock, number, 1, 0, None)))
                threads[-1].start()
            for thread in threads:
                thread.join()
            served_done.append(True)

        server = threading.Thread(target=serve)
        server.start()
        clients = []
        for number in range(count):
            sock = self.lab.socket("client", timeout=20)
            sock.connect((TARGET4, 7000))
            sock.sendall(bytes([number]))
            clients.append(threading.Thread(target=end, args=(sock, number, 0, 1, resets_at.get(number))))
            clients[-1].start()
        for thread in (*clients, server):
            thread.join(60)
        self.assertEqual(wrong, [])
        self.assertEqual((len(resets), served_done), (len(doomed), [True]))
        counters = wait_for(lambda: (c := hairpin.counters())["tcp_closed"] == count and c, "all flows to end")
        self.assertEqual(counters["tcp_opened"], count)
        self.assertGreater(counters["tcp_reset"], 0)

    def test_urgent_data(self):
        """splice(2) stops at an urgent mark for ever; the byte stays in the stream, and nothing spins."""
        hairpin = self.lab.hairpin()
        for sender_first in (True, False):
            listener = self.lab.listen(TARGET4, 7000 + sender_first)
            client = self.lab.socket("client")
            client.connect((TARGET4, 7000 + sender_first))
            served, _ = listener.accept()
            served.settimeout(10)
            sender, receiver = (client, served) if sender_first else (served, client)
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            sender.sendall(b"a" * 200_000)
            time.sleep(0.2)
            sender.send(b"!", socket.MSG_OOB)
            time.sleep(0.2)
            before = self.cpu(hairpin)
            time.sleep(0.5)
            self.assertLess(self.cpu(hairpin) - before, 0.2)
            sender.sendall(b"b" * 100_000)
            sender.shutdown(socket.SHUT_WR)
            got = b""
            while piece := receiver.recv(1 << 16):
                got += piece
            self.assertEqual((len(got), got.index(b"!")), (300_001, 200_000))

    @staticmethod
    def cpu(hairpin):
        with open(f"/proc/{hairpin.pid}/stat") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def test_thousand_parallel_curls(self):
        self.lab.nginx({"page": 20_000})
        self.lab.microsocks()
        hairpin = self.lab.hairpin(SOCKS, level="info")
        before = hairpin.descriptors()
        # One curl has at most 300 transfers at a time: four of them.
        arguments = [w for _ in range(250) for w in ("-o", "/dev/null", url(TARGET4, "page"))]
        curls = [self.lab.start("client", "curl", "-sS", "--fail", "--parallel", "--parallel-immediate",
                                "--parallel-max", "250", "-H", "Connection: close",
                                "-w", "%{http_code} %{size_download}\\n", *arguments) for _ in range(4)]
        for curl in curls:
            self.assertEqual(curl.wait(60), 0, curl.err())
            self.assertEqual(curl.out().splitlines(), ["200 20000"] * 250)
        wait_for(lambda: hairpin.counters()["tcp_closed"] == 1000, "all flows to be closed")
        counters = hairpin.counters()
        self.assertEqual(counters["tcp_opened"], 1000)
        # Nothing leaks: what is left over are idle pipes, which are kept.
        wait_for(lambda: hairpin.descriptors() <= before + 2 * 64, "descriptors to be closed")

    def test_server_speaks_first_behind_the_proxys_answer(self):
        """The proxy's answer and the target's first bytes in one segment."""
        self.lab.hairpin(SOCKS)
        listener = self.lab.listen(PROXY4, 1080)

        def proxy():
            served, _ = listener.accept()
            served.recv(3)
            served.sendall(b"\x05\x00")
            served.recv(10)
            served.sendall(b"\x05\x00\x00\x01\0\0\0\0\0\0" + b"banner")
            self.assertEqual(served.recv(100), b"hi")
            served.close()

        thread = threading.Thread(target=proxy)
        thread.start()
        client = self.lab.socket("client")
        client.connect((TARGET4, 22))
        self.assertEqual(client.recv(100), b"banner")
        client.sendall(b"hi")
        self.assertEqual(client.recv(100), b"")
        thread.join()


class Congestion(LabTest):
    """Where the system's default paces (BBR), a connection to what is near does not."""

    def setUp(self):
        super().setUp()
        self.lab.run("router", "sysctl", "-qw", "net.ipv4.tcp_congestion_control=bbr", check=False)
        self.default = self.lab.run("router", "sysctl", "-n", "net.ipv4.tcp_congestion_control").stdout.strip()
        self.listener = self.lab.listen(TARGET4, 7)

    def check(self, expected):
        """What the connection uses that hairpin opens for the next client."""
        client = self.lab.socket("client")
        client.connect((TARGET4, 7))
        pattern = re.compile(rf"{re.escape(ROUTER4)}:\d+ +{re.escape(TARGET4)}:7\b.*\n\s+(\w+)")
        client.sendall(b"settled, when this has arrived")
        served, _ = self.listener.accept()
        self.assertTrue(served.recv(10))
        shown = self.lab.run("router", "ss", "-ntiH", "state", "established").stdout
        served.close()
        self.assertEqual(pattern.findall(shown), [expected], shown)

    def test_near(self):
        self.lab.hairpin()
        self.check("cubic" if self.default.startswith("bbr") else self.default)

    def test_far(self):
        self.lab.hairpin()
        # 100 kbit/s and a full queue: what the server answers takes its time.
        self.lab.run("server", "tc", "qdisc", "add", "dev", "s0", "root", "tbf", "rate", "100kbit", "burst", "1600",
                     "latency", "200ms")
        filler = self.lab.udp("server")
        for _ in range(20):
            filler.sendto(bytes(1000), (ROUTER4, 9))
        self.check(self.default)


class Endings(LabTest):
    """How one side ends is how the other side sees it."""

    def connected(self, port=7000, target=TARGET4, ns="client"):
        listener = self.lab.listen(target, port)
        client = self.lab.socket(ns)
        client.connect((target, port))
        served, _ = listener.accept()
        served.settimeout(10)
        # The relay is up when it has carried something; before, a reset would be a failed dial.
        client.sendall(b"hi")
        self.assertEqual(served.recv(2), b"hi")
        return client, served

    def test_half_close_by_socat(self):
        need("socat")
        self.lab.hairpin()
        # The server answers only when it has seen the end of what the client sends.
        self.lab.start("server", "socat", "TCP-LISTEN:7000,reuseaddr", "SYSTEM:sha256sum")
        self.lab.wait_listening("server", 7000)
        text = b"x" * 300_000
        done = subprocess.run(self.lab.inside("client") + ["socat", "-t", "10", "-", f"TCP:{TARGET4}:7000"],
                              input=text, capture_output=True, timeout=20)
        self.assertEqual(done.stdout.split()[0].decode(), hashlib.sha256(text).hexdigest())

    def half_closed(self, port=7000):
        """The two ends of a flow of which the first has closed its side: the client, then the server."""
        for first in (0, 1):
            ends = self.connected(port + first)
            near, far = ends[first], ends[1 - first]
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(far.recv(10), b"")
            yield near, far

    def test_half_close_both_ways(self):
        self.lab.hairpin()
        for near, far in self.half_closed():
            with self.subTest(near=near):
                far.sendall(b"still here")
                self.assertEqual(near.recv(100), b"still here")
                far.close()
                self.assertEqual(near.recv(100), b"")

    def reset(self, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def test_reset_is_seen_as_reset(self):
        hairpin = self.lab.hairpin()
        for first in (0, 1):
            with self.subTest(first=("client", "server")[first]):
                ends = self.connected(7000 + first)
                self.reset(ends[first])
                with self.assertRaises(ConnectionResetError):
                    ends[1 - first].recv(10)
        hairpin.wait_counters(tcp_reset=2)

    def test_reset_after_half_close(self):
        """Often: the RST follows the end so closely that it may meet whoever still passes that on."""
        self.lab.hairpin()
        for port in range(7000, 7100, 2):
            for near, far in self.half_closed(port):
                with self.subTest(near=near):
                    self.reset(near)
                    # A socket that has seen the end of its stream gets a RST as EPIPE (tcp_reset in Linux).
                    wait_for(lambda: far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE, "RST")

    def test_reset_with_data_in_flight(self):
        self.lab.hairpin()
        client, served = self.connected()
        client.sendall(b"x" * 50_000)
        self.assertTrue(served.recv(10))
        self.reset(served)
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            for _ in range(100):
                client.sendall(b"x" * 1000)
                time.sleep(0.01)

    def test_reset_while_splicing(self):
        """Resets that meet a busy flow, on either side, at any moment: splice(2) raises SIGPIPE then."""
        hairpin = self.lab.hairpin(level="info")
        listener = self.lab.listen(TARGET4, 7000)
        for round_ in range(60):
            client = self.lab.socket("client")
            client.connect((TARGET4, 7000))
            served, _ = listener.accept()
            sender, receiver = (client, served) if round_ % 2 else (served, client)

            def send():
                with contextlib.suppress(OSError):
                    while True:
                        sender.sendall(bytes(1 << 20))

            thread = threading.Thread(target=send)
            thread.start()
            got = 0
            while got < 2_000_000 + round_ * 10_000:
                got += len(receiver.recv(1 << 20))
            self.reset(receiver)
            thread.join()
            sender.close()
        self.assertIsNone(hairpin.process.popen.poll(), "hairpin has died")
        wait_for(lambda: hairpin.counters().get("tcp_closed") == 60, "all flows to end")

    def test_reset_of_a_client_whose_server_does_not_read(self):
        hairpin = self.lab.hairpin()
        client, served = self.connected()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # until every buffer on the way is full
                client.send(bytes(1 << 20))
                time.sleep(0.02)
        self.reset(client)
        hairpin.wait_log("via direct reset")
        served.close()

    def test_refused_target(self):
        hairpin = self.lab.hairpin()
        client = self.lab.socket("client")
        start = time.monotonic()
        with self.assertRaises(ConnectionRefusedError):
            client.connect((TARGET4, 4444))
        self.assertLess(time.monotonic() - start, 1)
        hairpin.wait_log(rf"warning tcp {CLIENT4}:\d+ -> {TARGET4}:4444 via direct failed: .*[Rr]efused")
        hairpin.wait_counters(tcp_dial_failed=1)

    def test_refused_target_through_proxy(self):
        self.lab.microsocks()
        hairpin = self.lab.hairpin(SOCKS)
        client = self.lab.socket("client")
        with self.assertRaises(ConnectionRefusedError):
            client.connect((TARGET4, 4444))
        hairpin.wait_log("via proxy failed: SOCKS5: .*connection refused")

    def test_blackholed_target(self):
        hairpin = self.lab.hairpin({"type": "direct", "tag": "direct", "connect_timeout": "1s"})
        client = self.lab.socket("client", timeout=1.5)
        with self.assertRaises(TimeoutError):  # silence, as from the host itself
            client.connect((DEAD4, 80))
        hairpin.wait_log(f"{DEAD4}:80 via direct failed: .*timed out")

    def test_idle_timeout(self):
        hairpin = self.lab.hairpin(tun={"tcp_idle_timeout": "1500ms"})
        client, served = self.connected()
        for _ in range(3):
            time.sleep(0.75)
            client.sendall(b"alive")
            self.assertEqual(served.recv(10), b"alive")
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        with self.assertRaises(ConnectionResetError):
            served.recv(1)
        hairpin.wait_counters(tcp_idle_timeout=1)


if __name__ == "__main__":
    main()
