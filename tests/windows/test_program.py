"""hairpin.exe under wine, between a client of Linux' own TCP and a server on loopback.

      a namespace of this test's                         this host's loopback
    +------------------------+            +--------------------------------------------------+
    | client ── TUN ─────────┼─ this test ┼─ UDP ── wintun.dll (double) ── hairpin ── server |
    |                        |            |                                        └ proxies ┘ |
    +------------------------+            +--------------------------------------------------+

Each packet that the client's kernel sends into the TUN reaches the double in a datagram, and the other
way round. iphlpapi is a double, too (ip_helper_double.cc): wine lacks the functions. So what Windows
and Wintun's driver would do is not looked at; all that is hairpin's is. Needs root, for the namespace.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

HAIRPIN = os.environ["HAIRPIN"]
DOUBLE = os.environ["HAIRPIN_DOUBLE"]
WINE = os.environ["HAIRPIN_WINE"]
TARGET4, TARGET6 = "198.51.100.1", "2001:db8:99::1"
BY_SOCKS, BY_TLS = "198.51.100.2", "198.51.100.3"  # the same server, behind a proxy
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

_libc = ctypes.CDLL(None, use_errno=True)


class Inside:
    """A thread in a network namespace of its own, which ends with it; what it is given is done there."""

    def __init__(self):
        self.work = queue.Queue()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        entered = _libc.unshare(CLONE_NEWNET) == 0
        while (item := self.work.get()) is not None:
            act, answer = item
            try:
                if not entered:
                    raise PermissionError("unshare: a network namespace cannot be made; run as root")
                answer.put((act(), None))
            except BaseException as error:
                answer.put((None, error))

    def do(self, act):
        answer = queue.Queue()
        self.work.put((act, answer))
        value, error = answer.get()
        if error is not None:
            raise error
        return value

    def close(self):
        self.work.put(None)
        self.thread.join()


def open_tun():
    """In the namespace of the calling thread, with the addresses that the client has."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", b"hp0", IFF_TUN | IFF_NO_PI))
    for words in ("addr add 172.18.0.1/30 dev hp0", "-6 addr add fdfe:dcba:9876::1/126 dev hp0 nodad",
                  "link set hp0 mtu 1500 up", "route add 198.51.100.0/29 dev hp0", f"-6 route add {TARGET6} dev hp0"):
        subprocess.run(["ip", *words.split()], check=True)
    return fd


class Bridge:
    """Between the TUN and the double."""

    def __init__(self, tun):
        self.tun = tun
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.ends = False
        self.threads = [threading.Thread(target=act, daemon=True) for act in (self.in_, self.out)]
        self.peer = None
        self.met = threading.Event()
        for thread in self.threads:
            thread.start()

    def in_(self):
        while not self.ends:
            packet, sender = self.socket.recvfrom(65536)
            if self.ends:
                return
            if self.peer is None:
                self.peer = sender
                self.met.set()
            if packet:
                os.write(self.tun, packet)

    def out(self):
        os.set_blocking(self.tun, True)
        while not self.ends:
            packet = os.read(self.tun, 65536)
            if self.peer is not None and not self.ends:
                self.socket.sendto(packet, self.peer)

    def close(self, inside):
        self.ends = True
        waker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        waker.sendto(b"", ("127.0.0.1", self.port))
        waker.close()
        inside.do(lambda: subprocess.run(["ping", "-c1", "-W1", TARGET4], stdout=subprocess.DEVNULL))
        for thread in self.threads:
            thread.join()
        self.socket.close()
        os.close(self.tun)


class EchoServer:
    """TCP and UDP on one port of loopback, both families."""

    def __init__(self):
        self.sockets = []
        self.port = 0
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                one = socket.socket(family, kind)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((address, self.port))
                self.port = self.port or one.getsockname()[1]
                self.sockets.append(one)
                if kind == socket.SOCK_STREAM:
                    one.listen(64)
                target = self.accept if kind == socket.SOCK_STREAM else self.echo_datagrams
                threading.Thread(target=target, args=[one], daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.echo, args=[connection], daemon=True).start()

    @staticmethod
    def echo(connection):
        with connection:
            try:
                while piece := connection.recv(65536):
                    connection.sendall(piece)
            except OSError:
                pass

    @staticmethod
    def echo_datagrams(one):
        while True:
            try:
                datagram, sender = one.recvfrom(65536)
                one.sendto(datagram, sender)
            except OSError:
                return

    def close(self):
        for one in self.sockets:
            one.close()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Proxies:
    """dante, for SOCKS5 with TCP and UDP; and tinyproxy, for CONNECT, behind TLS."""

    def __init__(self, folder):
        self.processes = []
        self.listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        try:
            self.start_all(folder)
        except BaseException:
            self.close()
            raise

    def start_all(self, folder):
        self.socks, self.connect = free_port(), free_port()
        (folder / "danted.conf").write_text(f"""
            logoutput: stderr
            internal: 127.0.0.1 port = {self.socks}
            external: 127.0.0.1
            clientmethod: none
            socksmethod: none
            user.privileged: root
            user.unprivileged: nobody
            client pass {{ from: 0/0 to: 0/0 }}
            socks pass {{ from: 0/0 to: 0/0 }}
        """)
        (folder / "tinyproxy.conf").write_text(
            f"Port {self.connect}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nLogLevel Error\n")
        self.start(folder, self.socks, "danted", "-f", "danted.conf", "-p", "danted.pid")
        self.start(folder, self.connect, "tinyproxy", "-d", "-c", "tinyproxy.conf")
        self.certificate = folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", folder / "key.pem", "-out", self.certificate, "-days", "2", "-subj", "/CN=proxy.example",
                        "-addext", "subjectAltName=DNS:proxy.example"], check=True, stderr=subprocess.DEVNULL)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, folder / "key.pem")
        self.tls = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def start(self, folder, port, *words):
        if shutil.which(words[0], path=os.environ["PATH"] + ":/usr/sbin") is None:
            raise AssertionError(f"{words[0]} is missing")
        environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin")
        with open(folder / f"{words[0]}.log", "w") as log:
            self.processes.append(subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, env=environment))
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.pass_on, args=[connection], daemon=True).start()

    def pass_on(self, connection):
        """One side at a time: an SSLSocket is for one thread."""
        try:
            with self.context.wrap_socket(connection, server_side=True) as inner, \
                    socket.create_connection(("127.0.0.1", self.connect)) as outer:
                inner.setblocking(False)
                outer.setblocking(False)
                pending = {inner: b"", outer: b""}  # for each: what it is to be sent
                ended = set()
                while len(ended) < 2 or any(pending.values()):
                    moved = False
                    for source, sink in ((inner, outer), (outer, inner)):
                        try:
                            if not pending[sink] and source not in ended:
                                piece = source.recv(65536)
                                moved = True
                                if piece:
                                    pending[sink] = piece
                                else:
                                    ended.add(source)
                                    if source is inner:
                                        outer.shutdown(socket.SHUT_WR)
                        except (BlockingIOError, ssl.SSLWantReadError):
                            pass
                        try:
                            if pending[sink]:
                                pending[sink] = pending[sink][sink.send(pending[sink]):]
                                moved = True
                        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                            pass
                    if outer in ended and not pending[inner]:
                        return
                    if not moved:
                        time.sleep(0.001)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for process in self.processes:
            process.terminate()
            process.wait()


def run(*words, **options):
    return subprocess.run([WINE, *words], capture_output=True, text=True, timeout=60, **options)


class Commands(unittest.TestCase):
    """The program itself, with what needs no device."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hairpin-wine-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def config(self, **fields):
        inbound = {"type": "tun", "interface_name": "hp0", "address": ["172.18.0.1/30"]}
        inbound.update(fields)
        (self.folder / "c.json").write_text(json.dumps({"inbounds": [inbound], "outbounds": [{"type": "direct"}]}))

    def test_version(self):
        done = run(HAIRPIN, "version")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^hairpin \d")

    def test_check_takes_what_is_there(self):
        self.config()
        done = run(HAIRPIN, "check", "-c", "c.json", cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "c.json: valid\n", ""))

    def test_check_refuses_what_is_not(self):
        self.config(stack="system", auto_route=True, auto_redirect=True, exclude_cgroup=["/a"])
        done = run(HAIRPIN, "check", "-c", "c.json", cwd=self.folder)
        self.assertEqual(done.returncode, 78)
        for field in ("stack", "auto_redirect", "exclude_cgroup", "auto_route"):
            self.assertIn(f"inbounds[0].{field}: ", done.stderr)

    def test_plan_tells_routes(self):
        self.config(auto_route=True, route_address=["198.51.100.0/24"], route_exclude_address=["198.51.100.0/25"])
        config = json.loads((self.folder / "c.json").read_text())
        config["route"] = {"default_interface": "eth0"}
        (self.folder / "c.json").write_text(json.dumps(config))
        done = run(HAIRPIN, "plan", "-c", "c.json", cwd=self.folder)
        self.assertEqual(done.stdout, "# tun\nroute 198.51.100.128/25\n", done.stderr)

    def test_match_explains(self):
        self.config()
        done = run(HAIRPIN, "match", "-c", "c.json", "192.0.2.1:80", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no rule: ", done.stdout)

    def test_rule_sets(self):
        (self.folder / "a.json").write_text(json.dumps(
            {"version": 3, "rules": [{"domain_suffix": ["a.example"]}, {"ip_cidr": ["192.0.2.0/24"]}]}))
        done = run(HAIRPIN, "rule-set", "compile", "-o", "a.srs", "a.json", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run(HAIRPIN, "rule-set", "match", "a.srs", "www.a.example", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run(HAIRPIN, "rule-set", "decompile", "-o", "b.json", "a.srs", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        rules = json.loads((self.folder / "b.json").read_text())["rules"]
        self.assertEqual(rules, [{"domain_suffix": ["a.example"]}, {"ip_cidr": ["192.0.2.0/24"]}])
        self.config()
        config = json.loads((self.folder / "c.json").read_text())
        config["route"] = {"rule_set": [{"type": "local", "tag": "a", "format": "binary", "path": "a.srs"}],
                           "rules": [{"rule_set": "a", "action": "reject"}]}
        (self.folder / "c.json").write_text(json.dumps(config))
        done = run(HAIRPIN, "match", "-c", "c.json", "192.0.2.1:80", cwd=self.folder)
        self.assertIn("reject", done.stdout, done.stderr)

    def test_commands_of_linux_say_so(self):
        done = run(HAIRPIN, "exec", "--", "true")
        self.assertEqual(done.returncode, 69, done.stderr)
        self.assertIn("only on Linux", done.stderr)

    def test_without_wintun_it_says_where_that_comes_from(self):
        self.config()
        done = run(HAIRPIN, "run", "-c", "c.json", cwd=self.folder)
        self.assertEqual(done.returncode, 69, done.stderr)
        self.assertIn("wintun.net", done.stderr)


class Running(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="hairpin-wine-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.server = EchoServer()
        cls.addClassCleanup(cls.server.close)
        cls.inside = Inside()
        cls.addClassCleanup(cls.inside.close)
        cls.proxies = Proxies(cls.folder)
        cls.addClassCleanup(cls.proxies.close)
        cls.bridge = Bridge(cls.inside.do(open_tun))
        cls.addClassCleanup(cls.bridge.close, cls.inside)
        config = {
            "log": {"level": "debug"},
            "inbounds": [{"type": "tun", "interface_name": "hp0", "mtu": 1500, "auto_route": True,
                          "address": ["172.18.0.1/30", "fdfe:dcba:9876::1/126"],
                          "route_address": ["198.51.100.0/29", f"{TARGET6}/128"]}],
            "outbounds": [
                {"type": "direct", "tag": "direct"},
                {"type": "socks", "tag": "socks", "server": "127.0.0.1", "server_port": cls.proxies.socks},
                # Its name is asked for before there are routes.
                {"type": "http", "tag": "tls", "server": "localhost", "server_port": cls.proxies.tls,
                 "tls": {"enabled": True, "server_name": "proxy.example", "certificate": cls.proxies.certificate.read_text()}}],
            "route": {"auto_detect_interface": True, "final": "direct", "rules": [
                {"ip_cidr": [f"{BY_SOCKS}/32"], "outbound": "socks", "override_address": "127.0.0.1"},
                {"ip_cidr": [f"{BY_TLS}/32"], "outbound": "tls", "override_address": "127.0.0.1"},
                {"ip_cidr": [f"{TARGET4}/32"], "action": "route-options", "override_address": "127.0.0.1"},
                {"ip_cidr": [f"{TARGET6}/128"], "action": "route-options", "override_address": "::1"}]}}
        (cls.folder / "c.json").write_text(json.dumps(config))
        cls.log = cls.folder / "iphlpapi"
        environment = dict(os.environ, HAIRPIN_DOUBLE_PEER=str(cls.bridge.port), HAIRPIN_DOUBLE_LOG="iphlpapi")
        with open(cls.folder / "errors", "w") as errors:
            cls.hairpin = subprocess.Popen([WINE, DOUBLE, "run", "-c", "c.json"], cwd=cls.folder, env=environment,
                                           stdout=errors, stderr=subprocess.STDOUT)
        cls.addClassCleanup(cls.stop)
        if not cls.bridge.met.wait(60):
            raise AssertionError("hairpin does not come up: " + cls.said())
        end = time.monotonic() + 30
        while "up: " not in cls.said():
            if time.monotonic() > end:
                raise AssertionError("hairpin does not come up: " + cls.said())
            time.sleep(0.05)

    @classmethod
    def said(cls):
        return (cls.folder / "errors").read_text(errors="replace")

    @classmethod
    def stop(cls):
        if cls.hairpin.poll() is None:
            cls.hairpin.kill()
            cls.hairpin.wait()

    def connect(self, address, port=None):
        def act():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            one = socket.socket(family, socket.SOCK_STREAM)
            one.settimeout(10)
            one.connect((address, port or self.server.port))
            return one
        return self.inside.do(act)

    def echo(self, address, size):
        sent = os.urandom(size)
        with self.connect(address) as client:
            def say():
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
            speaker = threading.Thread(target=say)
            speaker.start()
            got = bytearray()
            while piece := client.recv(1 << 16):
                got += piece
            speaker.join()
        self.assertEqual(len(got), size, self.said()[-2000:])
        self.assertTrue(got == sent, "other bytes came back")

    def test_a_stream_comes_back_whole_and_ends(self):
        for address in (TARGET4, TARGET6):
            with self.subTest(address):
                self.echo(address, 1)
                self.echo(address, 8 << 20)

    def test_by_a_socks_proxy(self):
        self.echo(BY_SOCKS, 4 << 20)
        self.exchange(BY_SOCKS, (1, 1400, 9000))
        self.wait_said("via socks closed")
        self.assertRegex(self.said(), "udp .* via socks opened")

    def test_by_a_proxy_with_tls_that_has_a_name(self):
        # Half a connection cannot be closed in TLS: the server's answer is read first.
        sent = os.urandom(1 << 20)
        with self.connect(BY_TLS) as client:
            speaker = threading.Thread(target=client.sendall, args=[sent])
            speaker.start()
            got = bytearray()
            while len(got) < len(sent):
                piece = client.recv(1 << 16)
                self.assertTrue(piece, self.said()[-2000:])
                got += piece
            speaker.join()
        self.assertTrue(got == sent, "other bytes came back")
        self.wait_said("via tls closed")

    def wait_said(self, text):
        end = time.monotonic() + 10
        while text not in self.said():
            self.assertLess(time.monotonic(), end, self.said()[-2000:])
            time.sleep(0.05)

    def test_streams_side_by_side(self):
        wrong = []

        def one():
            try:
                self.echo(TARGET4, 300_000)
            except BaseException as error:
                wrong.append(error)
        threads = [threading.Thread(target=one) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_who_refuses_is_seen_to(self):
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))  # nobody listens
        with self.assertRaises(ConnectionRefusedError):
            self.connect(TARGET4, closed.getsockname()[1])
        closed.close()

    def test_datagrams_come_back_from_where_they_went(self):
        for address in (TARGET4, TARGET6):
            self.exchange(address, (1, 512, 1400, 9000))  # the last is in fragments, both ways

    def exchange(self, address, sizes):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        client = self.inside.do(lambda: socket.socket(family, socket.SOCK_DGRAM))
        client.settimeout(10)
        with client:
            for size in sizes:
                with self.subTest(address=address, size=size):
                    sent = os.urandom(size)
                    client.sendto(sent, (address, self.server.port))
                    got, sender = client.recvfrom(65536)
                    self.assertTrue(got == sent, f"{len(got)} other bytes")
                    self.assertEqual(sender[:2], (address, self.server.port))

    def test_zz_ends_when_told_and_takes_its_routes_back(self):
        told = self.log.read_text().splitlines()
        self.assertEqual(told, ["v4 mtu 1500", "v6 mtu 1500", "add 172.18.0.1/30", "add fdfe:dcba:9876::1/126",
                                f"route {TARGET6}/128", "route 198.51.100.0/29"])
        self.hairpin.send_signal(signal.SIGINT)
        self.assertEqual(self.hairpin.wait(20), 0, self.said()[-2000:])
        self.assertEqual(self.log.read_text().splitlines()[len(told):],
                         [f"no route {TARGET6}/128", "no route 198.51.100.0/29"])
        self.assertIn("stopped", self.said())
        self.assertNotIn("udp_send_failed", self.said())


if __name__ == "__main__":
    unittest.main(verbosity=2)
