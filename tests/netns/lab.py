"""A small network of namespaces, made for one test and gone with it.

      client                     router                          server
    +---------+   192.0.2.0/24  +---------+  198.51.100.0/24   +---------+
    |      .2 c0 ------------- r0 .1   .1 r1 ---------------- s0 .2      |  lo: 203.0.113.10, .11
    |     ::2 |  2001:db8:1::   | ::1 ::1 |   2001:db8:2::     | ::2     |      2001:db8:99::10, ::11
    +---------+                 | hairpin |                    +---------+
                                +---------+

hairpin runs on the router. What goes to the networks of 203.0.113.0/24 and 2001:db8:99::/64 is routed
into its interface, but for packets with its mark: those take the main table, to the server. Proxies
and targets are on the server. All addresses are from the ranges for documentation (RFC 5737, RFC
3849), and none of them exists outside these namespaces.
"""

import atexit
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HAIRPIN = os.environ.get("HAIRPIN", "")
LINK = os.environ.get("HAIRPIN_LINK", "tun")  # "tun" or "veth": ctest runs each file over both
STACK = os.environ.get("HAIRPIN_STACK", "system")  # with "tun" also "userspace" and "mixed"
KIND = ["--link", LINK, "--stack", STACK]  # the same as options
DEVICES = ["hp0", "hp0-in"] if LINK == "tun" and STACK != "userspace" else ["hp0"]  # what a link makes where it captures
TARGET4, OTHER4, DEAD4, CLOSED4 = "203.0.113.10", "203.0.113.11", "203.0.113.66", "203.0.113.99"
TARGET6, OTHER6 = "2001:db8:99::10", "2001:db8:99::11"
PROXY4, PROXY6 = "198.51.100.2", "2001:db8:2::2"
CLIENT4, CLIENT6 = "192.0.2.2", "2001:db8:1::2"
ROUTER4, ROUTER6 = "198.51.100.1", "2001:db8:2::1"
TUN4, TUN6 = "172.18.0.1", "fdfe:dcba:9876::1"

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def need(*programs):
    """A test that cannot run here must fail, not pass unseen."""
    for program in programs:
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            raise RuntimeError(f"{program} is missing: run scripts/deps test")


def sh(*words, check=True, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr or done.stdout}")
    return done


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


class Process:
    """A program in a namespace, with its output in files."""

    def __init__(self, lab, ns, words, stdin=subprocess.DEVNULL, **options):
        self.words = [str(w) for w in words]
        base = lab.folder / f"{len(lab.processes)}-{os.path.basename(self.words[0])}"
        self.out_path, self.err_path = base.with_suffix(".out"), base.with_suffix(".err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(
                lab.inside(ns) + self.words, stdin=stdin, stdout=out, stderr=err, **options)
        self.pid = self.popen.pid
        self.stuck = False  # did not stop when it was told to
        lab.processes.append(self)

    def out(self):
        return self.out_path.read_text(errors="replace")

    def err(self):
        return self.err_path.read_text(errors="replace")

    def wait(self, seconds=30):
        return self.popen.wait(seconds)

    def stop(self, sig=signal.SIGTERM, seconds=15):
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.stuck = True
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


class Lab:
    def __init__(self):
        need("ip", "nft")
        self.prefix = f"hp{os.getpid()}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hairpin-test-"))
        os.chmod(self.folder, 0o755)
        self.processes, self.sockets, self.answering = [], [], []
        self.closing = threading.Event()
        self.spaces = []
        atexit.register(self.close)
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def build(self):
        for ns in ("client", "router", "server"):
            sh("ip", "netns", "add", self.name(ns))
            self.spaces.append(ns)
            self.ip(ns, "link set lo up")
        for a, dev_a, b, dev_b in (("client", "c0", "router", "r0"), ("server", "s0", "router", "r1")):
            sh("ip", "link", "add", dev_a, "netns", self.name(a), "type", "veth",
               "peer", "name", dev_b, "netns", self.name(b))
        for ns, dev, v4, v6 in (("client", "c0", CLIENT4, CLIENT6), ("router", "r0", "192.0.2.1", "2001:db8:1::1"),
                                ("router", "r1", ROUTER4, ROUTER6), ("server", "s0", PROXY4, PROXY6)):
            # Generated link-local addresses come when they please, and bring routes: tests would see that.
            self.ip(ns, f"link set {dev} addrgenmode none")
            self.ip(ns, f"addr add fe80::{v6.split(':')[2]}:{v6[-1]}/64 dev {dev} nodad")
            self.ip(ns, f"addr add {v4}/24 dev {dev}")
            self.ip(ns, f"addr add {v6}/64 dev {dev} nodad")
            self.ip(ns, f"link set {dev} up")
        for address in (TARGET4, OTHER4):
            self.ip("server", f"addr add {address}/32 dev lo")
        for address in (TARGET6, OTHER6):
            self.ip("server", f"addr add {address}/128 dev lo nodad")
        for ns, dev in (("client", "c0"), ("router", "r0"), ("router", "r1"), ("server", "s0")):
            wait_for(lambda: "LOWER_UP" in self.ip(ns, f"link show dev {dev} up").stdout, f"carrier of {dev}")
        self.ip("client", "route add default via 192.0.2.1")
        self.ip("client", "-6 route add default via 2001:db8:1::1")
        self.ip("server", f"route add default via {ROUTER4}")
        self.ip("server", f"-6 route add default via {ROUTER6}")
        self.ip("server", f"route add blackhole {DEAD4}")
        self.ip("router", f"route add 203.0.113.0/24 via {PROXY4}")
        self.ip("router", f"-6 route add 2001:db8:99::/64 via {PROXY6}")
        self.sysctl("router", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.sysctl("server", "net.ipv4.ip_forward=1")  # so that the black hole is asked at all
        for ns in self.spaces:
            self.sysctl(ns, "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        self.sysctl("router", "net.ipv4.conf.r0.rp_filter=0", "net.ipv4.conf.r1.rp_filter=0")
        # The limits on ICMP errors (RFC 1812) would make tests depend on how fast they run.
        self.sysctl("server", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")

    def name(self, ns):
        return f"{self.prefix}-{ns}"

    enter_by_nsenter = False  # keeps /sys, and so control groups, where `ip netns exec` mounts it anew

    def inside(self, ns):
        if ns and self.enter_by_nsenter:
            return ["nsenter", f"--net=/run/netns/{self.name(ns)}"]
        return ["ip", "netns", "exec", self.name(ns)] if ns else []

    def ip(self, ns, words, check=True):
        return sh("ip", "-n", self.name(ns), *words.split(), check=check)

    def sysctl(self, ns, *settings):
        sh(*self.inside(ns), "sysctl", "-qw", *settings)

    def run(self, ns, *words, check=True, timeout=60, **options):
        return sh(*self.inside(ns), *words, check=check, timeout=timeout, **options)

    def start(self, ns, *words, **options):
        return Process(self, ns, words, **options)

    def in_namespace(self, ns, make):
        """What `make` returns when called in a namespace. Sockets and TUN descriptors stay in the
        namespace in which they were opened, whoever uses them."""
        box = []

        def enter():
            try:
                with open(f"/run/netns/{self.name(ns)}") as space:
                    if _libc.setns(space.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                box.append(make())
            except OSError as failure:
                box.append(failure)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if isinstance(box[0], OSError):
            raise box[0]
        return box[0]

    def socket(self, ns, family=socket.AF_INET, kind=socket.SOCK_STREAM, timeout=10, protocol=0):
        sock = self.in_namespace(ns, lambda: socket.socket(family, kind, protocol))
        sock.settimeout(timeout)
        self.sockets.append(sock)
        return sock

    def listen(self, address, port, ns="server", backlog=128):
        sock = self.socket(ns, socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(backlog)
        return sock

    def serve(self, listener, play):
        """Calls play(sock) for each connection, in a thread of its own, until the listener is closed."""
        def accept():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=play, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def answer(self, sock, handle):
        """Calls handle(sock, message, client) for each datagram, in a thread that ends before the sockets are closed."""
        def serve():
            while not self.closing.is_set():
                with contextlib.suppress(TimeoutError):
                    handle(sock, *sock.recvfrom(65535))

        sock.settimeout(0.1)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.answering.append(thread)

    def udp(self, ns, address=None, port=0, timeout=5):
        family = socket.AF_INET6 if address and ":" in address else socket.AF_INET
        sock = self.socket(ns, family, socket.SOCK_DGRAM, timeout)
        if address:
            sock.bind((address, port))
        return sock

    def wait_listening(self, ns, port, udp=False):
        flag = "-lnu" if udp else "-lnt"
        pattern = re.compile(rf":{port}\s")
        wait_for(lambda: pattern.search(self.run(ns, "ss", flag).stdout), f"port {port} in {ns}")

    # ---- servers of Debian --------------------------------------------------------------------

    def iperf(self, ns, target, *options, seconds=60):
        """What iperf3 says of a run against a server that is there."""
        def attempt():
            done = self.run(ns, "iperf3", "-J", "-c", target, *options, check=False)
            told = json.loads(done.stdout)
            # It serves one at a time, and its last one has ended only when it has been told so.
            return None if re.search("busy|unable to", told.get("error", "")) else told

        told = wait_for(attempt, f"iperf3's server on {target} to have time", seconds)
        if "error" in told:
            raise AssertionError(f"iperf3 {options}: {told['error']}")
        return told["end"]

    def certificate(self, *names):
        """A key, and a certificate that nobody has signed, for names such as "DNS:a.example" or "IP:192.0.2.1"."""
        need("openssl")
        key, cert = self.folder / "key.pem", self.folder / "cert.pem"
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
           "-out", cert, "-days", "2", "-subj", "/CN=server.example", "-addext", "subjectAltName=" + ",".join(names))
        return key, cert

    def nginx(self, files=None, tls=None, more=""):
        """`tls`: a key and a certificate, for port 443. `more` is put into the server's configuration."""
        need("nginx")
        root = self.folder / "www"
        root.mkdir(exist_ok=True)
        (root / "index.html").write_text("hello from nginx\n")
        for name, size in (files or {}).items():
            (root / name).write_bytes(os.urandom(size))
        root.chmod(0o755)
        if tls:
            more += f"listen 443 ssl http2; ssl_certificate_key {tls[0]}; ssl_certificate {tls[1]};"
        conf = self.folder / "nginx.conf"
        conf.write_text(f"""
            daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/nginx.log;
            user root; worker_processes 1; worker_rlimit_nofile 20000;
            events {{ worker_connections 16000; }}
            http {{ access_log off; root {root}; keepalive_timeout 60;
                    server {{ listen 80 backlog=4096; listen [::]:80 backlog=4096;
                              location = /who {{ return 200 "$remote_addr\\n"; }} {more} }} }}
        """)
        process = self.start("server", "nginx", "-c", conf)
        self.wait_listening("server", 443 if tls else 80)
        return process

    def microsocks(self, *options, port=1080):
        need("microsocks")
        process = self.start("server", "microsocks", "-i", "0.0.0.0", "-p", port, *options)
        self.wait_listening("server", port)
        return process

    def dante(self, port=1081, username=False):
        need("danted")
        conf = self.folder / f"danted-{port}.conf"
        method = "username" if username else "none"
        conf.write_text(f"""
            logoutput: stderr
            internal: {PROXY4} port = {port}
            external: {PROXY4}
            external: {PROXY6}
            clientmethod: none
            socksmethod: {method}
            user.privileged: root
            user.unprivileged: nobody
            client pass {{ from: 0/0 to: 0/0 }}
            client pass {{ from: ::/0 to: ::/0 }}
            socks pass {{ from: 0/0 to: 0/0 }}
            socks pass {{ from: ::/0 to: ::/0 }}
        """)
        process = self.start("server", "danted", "-f", conf, "-p", self.folder / f"danted-{port}.pid")
        self.wait_listening("server", port)
        return process

    def tinyproxy(self, port=8888, auth=None):
        need("tinyproxy")
        conf = self.folder / f"tinyproxy-{port}.conf"
        login = f"BasicAuth {auth[0]} {auth[1]}\n" if auth else ""
        conf.write_text(f"Port {port}\nTimeout 60\nMaxClients 500\nLogLevel Error\n{login}")
        process = self.start("server", "tinyproxy", "-d", "-c", conf)
        self.wait_listening("server", port)
        return process

    def dnsmasq(self, address=TARGET4):
        need("dnsmasq", "dig")
        process = self.start(
            "server", "dnsmasq", "-k", "-C", "/dev/null", "--no-hosts", "--no-resolv", "--user=root",
            f"--pid-file={self.folder}/dnsmasq.pid", f"--address=/test.example/{address}",
            "--txt-record=big.example," + ",".join(["x" * 200] * 10), "--bind-interfaces",
            f"--listen-address={TARGET4},{TARGET6}")
        self.wait_listening("server", 53, udp=True)
        return process

    # ---- hairpin ------------------------------------------------------------------------------

    def inside_of(self, hairpin, *words, **options):
        """Runs a command in the private namespace of a veth link, which has no name: it is found by a
        socket in it, that of a listener."""
        SIOCGSKNS = 0x894C
        ours = os.stat(f"/proc/{hairpin.pid}/ns/net").st_ino
        for number in sorted(int(n) for n in os.listdir(f"/proc/{hairpin.pid}/fd")):
            pidfd = os.pidfd_open(hairpin.pid)
            copy = _libc.syscall(438, pidfd, number, 0)  # pidfd_getfd
            os.close(pidfd)
            try:
                space = fcntl.ioctl(copy, SIOCGSKNS)
            except OSError:
                continue
            finally:
                os.close(copy)
            try:
                if os.fstat(space).st_ino != ours:
                    return sh("nsenter", f"--net=/proc/self/fd/{space}", *words, pass_fds=[space], **options)
            finally:
                os.close(space)
        raise AssertionError("no socket in another namespace")

    def box_namespace(self):
        """A namespace "box" that has nothing but lo, and a process that is in it."""
        sh("ip", "netns", "add", self.name("box"))
        self.spaces.append("box")
        self.ip("box", "link set lo up")
        self.box = self.start("box", "sleep", "600")
        inode = os.stat(f"/run/netns/{self.name('box')}").st_ino
        wait_for(lambda: os.stat(f"/proc/{self.box.pid}/ns/net").st_ino == inode, "a process in the box")

    def hairpin(self, *outbounds, rules=(), tun=None, capture=True, ns="router", wrap=(), level="debug",
                route=None, extra=None, arguments=(), **options):
        config = {
            "log": {"level": level},
            "inbounds": [{"type": "tun", "tag": "tun", "interface_name": "hp0", "link": LINK, "stack": STACK,
                          "address": [f"{TUN4}/30", f"{TUN6}/126"], **(tun or {})}],
            "outbounds": list(outbounds) or [{"type": "direct", "tag": "direct"}],
            "route": {"rules": list(rules), **(route or {})},
            **(extra or {}),
        }
        return Hairpin(self, ns, config, capture, wrap, arguments, options)

    def close(self):
        atexit.unregister(self.close)
        self.closing.set()
        for thread in self.answering:
            thread.join()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.close()
        for process in reversed(self.processes):
            process.stop()
        for ns in self.spaces:
            sh("ip", "netns", "del", self.name(ns), check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Hairpin:
    """`hairpin run`, and the routes that bring traffic to it."""

    def __init__(self, lab, ns, config, capture, wrap, arguments, options):
        self.lab, self.ns, self.config = lab, ns, config
        path = lab.folder / "hairpin.json"
        path.write_text(json.dumps(config))
        self.process = lab.start(ns, *wrap, HAIRPIN, "run", "-c", path, *arguments, **options)
        self.pid = self.process.pid
        wait_for(lambda: self.is_up() or self.process.popen.poll() is not None, "hairpin up")
        if self.process.popen.poll() is not None:
            raise AssertionError(f"hairpin ended with {self.process.popen.returncode}: {self.log()}")
        if capture:
            self.capture()

    def capture(self):
        name = self.config["inbounds"][0]["interface_name"]
        for family, network in (("-4", "203.0.113.0/24"), ("-6", "2001:db8:99::/64")):
            self.lab.ip(self.ns, f"{family} route replace default dev {name} table 1001 congctl cubic")
            self.lab.ip(self.ns, f"{family} rule del pref 1001", check=False)
            self.lab.ip(self.ns, f"{family} rule del pref 1000", check=False)
            self.lab.ip(self.ns, f"{family} rule add fwmark 0x2024 lookup main pref 1000")
            self.lab.ip(self.ns, f"{family} rule add to {network} lookup 1001 pref 1001")
        # Where fake addresses lead, for those who ask for any.
        for family, network in (("-4", "198.18.0.0/15"), ("-6", "fc00::/18")):
            self.lab.ip(self.ns, f"{family} rule del pref 1002", check=False)
            self.lab.ip(self.ns, f"{family} rule add to {network} lookup 1001 pref 1002")

    def is_up(self):
        if self.config["log"]["level"] in ("trace", "debug", "info"):
            return "up:" in self.log()
        # It says nothing. Its table is the last thing that it makes before it serves.
        return "chain loop" in self.lab.run(self.ns, "nft", "list", "ruleset").stdout

    def log(self):
        return self.process.err()

    def wait_log(self, pattern, seconds=30):
        return wait_for(lambda: re.search(pattern, self.log()), f"log line {pattern}: {self.log()}", seconds)

    def counters(self):
        seen = self.log().count("counters:")
        os.kill(self.pid, signal.SIGUSR1)
        wait_for(lambda: self.log().count("counters:") > seen, "counters")
        line = [l for l in self.log().splitlines() if "counters:" in l][-1]
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}

    def wait_counters(self, **expected):
        """Counters have these values soon: whom they count may know a moment before."""
        def seen():
            counters = self.counters()
            return {name: counters.get(name, 0) for name in expected}

        with contextlib.suppress(AssertionError):
            wait_for(lambda: seen() == expected, "counters", 10)
        if (last := seen()) != expected:
            raise AssertionError(f"counters: expected {expected}, got {last}")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stop(self, sig=signal.SIGTERM):
        return self.process.stop(sig)


def over(link, *stacks):
    """For a test of what only one of the links has; over a TUN of what these stacks have: the kernel's,
    if none is named."""
    return unittest.skipUnless(LINK == link and STACK in (stacks or ("system",)), f"over {link} only")


# For a test of listeners and their rules: there are none where packets end in this process.
by_listeners = unittest.skipIf(STACK == "userspace", "not in user space")


class LabTest(unittest.TestCase):
    """A test case with a lab of its own for each test."""

    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)

    def run(self, result=None):
        # What hairpin said is what one wants to read when a test has failed.
        outcome = result or self.defaultTestResult()
        before = len(outcome.failures) + len(outcome.errors)
        self.has_failed = lambda: len(outcome.failures) + len(outcome.errors) > before
        start = time.monotonic()
        super().run(outcome)
        name = self.id().split(".", 1)[-1]
        print(f"{'FAILED' if self.has_failed() else 'passed'} {name} ({time.monotonic() - start:.1f} s)", flush=True)
        return outcome

    def tearDown(self):
        for process in self.lab.processes:
            if HAIRPIN in process.words:
                process.stop()
                text = process.err()
                if self.has_failed():
                    print(f"--- {' '.join(process.words)}\n{text[-4000:]}", file=sys.stderr)
                self.assertFalse(process.stuck, "hairpin did not stop when it was told to")
                # A sanitizer's report is a failure of whatever test it comes in.
                self.assertNotRegex(text, r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:")


def main():
    if not HAIRPIN or not os.access(HAIRPIN, os.X_OK):
        sys.exit("HAIRPIN must name the program under test")
    if os.geteuid() != 0:
        sys.exit("the netns tests need root: they make network namespaces")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main(verbosity=0, warnings="ignore")
