"""Ways out: proxies with TLS, through other proxies, and groups of them."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

from lab import HAIRPIN, PROXY4, ROUTER4, TARGET4, TARGET6, LabTest, main, need, wait_for

DIRECT = {"type": "direct", "tag": "direct"}


class GroupsTest(LabTest):
    def fetch(self, address=TARGET4, path="", ns="client", seconds=10):
        host = f"[{address}]" if ":" in address else address
        done = self.lab.run(ns, "curl", "-sS", "--max-time", seconds, f"http://{host}/{path}", check=False)
        return done.stdout or done.stderr


class NamingProxy:
    """A SOCKS5 proxy that takes names from a table, and says which it was asked for."""

    def __init__(self, lab, port, table, asked):
        self.lab, self.table, self.asked = lab, table, asked
        self.listener = lab.listen(PROXY4, port)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        with contextlib.suppress(OSError):
            client.recv(3)
            client.sendall(b"\5\0")
            head = client.recv(300)
            name, port = head[5:5 + head[4]].decode(), int.from_bytes(head[-2:], "big")
            self.asked.append(f"{name}:{port}")
            server = self.lab.socket("server")
            server.connect(self.table[name])
            client.sendall(b"\5\0\0\1\0\0\0\0\0\0")
            threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
            self.pump(client, server)

    @staticmethod
    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


class SlowProxy:
    """In front of another one; answers late. Counts."""

    def __init__(self, lab, port, behind, delay):
        self.lab, self.port, self.behind, self.delay = lab, port, behind, delay
        self.connections = 0
        self.open()

    def open(self):
        self.listener = self.lab.listen(PROXY4, self.port)
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def serve(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        time.sleep(self.delay)
        server = self.lab.socket("server")
        try:
            server.connect((PROXY4, self.behind))
        except OSError:
            return client.close()
        threading.Thread(target=NamingProxy.pump, args=(server, client), daemon=True).start()
        NamingProxy.pump(client, server)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self.listener.close()


class Https(GroupsTest):
    def setUp(self):
        super().setUp()
        need("openssl", "socat")
        self.key, self.cert = self.lab.folder / "key.pem", self.lab.folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj", "/CN=proxy.example",
                        "-addext", f"subjectAltName=DNS:proxy.example,IP:{PROXY4}"], check=True, capture_output=True)
        self.lab.tinyproxy()
        self.lab.start("server", "socat", f"OPENSSL-LISTEN:8443,cert={self.cert},key={self.key},verify=0,fork,reuseaddr",
                       f"TCP:{PROXY4}:8888")
        self.lab.wait_listening("server", 8443)

    def proxy(self, **tls):
        return {"type": "http", "tag": "https", "server": PROXY4, "server_port": 8443, "tls": {"enabled": True, **tls}}

    def test_bytes_arrive(self):
        self.lab.nginx({"big": 20_000_000})
        hairpin = self.lab.hairpin(self.proxy(certificate_path=str(self.cert)))
        self.assertEqual(self.fetch(), "hello from nginx\n")
        big = self.lab.run("client", "curl", "-sS", "--max-time", "30", "-o", self.lab.folder / "got",
                           f"http://{TARGET4}/big")
        self.assertEqual(big.stderr, "")
        sums = [hashlib.sha256((self.lab.folder / name).read_bytes()).digest() for name in ("got", "www/big")]
        self.assertEqual(*sums)
        wait_for(lambda: hairpin.counters().get("tcp_closed") == 2, "both flows are closed")
        descriptors = hairpin.descriptors()
        self.fetch()
        wait_for(lambda: hairpin.descriptors() <= descriptors, "nothing is left open")

    def test_a_client_that_goes_takes_the_session_with_it(self):
        listener = self.lab.listen(TARGET4, 7000)
        hairpin = self.lab.hairpin(self.proxy(certificate_path=str(self.cert)))
        client = self.lab.socket("client")
        client.connect((TARGET4, 7000))
        served, _ = listener.accept()
        client.sendall(b"question")
        self.assertEqual(served.recv(100), b"question")
        served.sendall(b"answer")
        self.assertEqual(client.recv(100), b"answer")
        served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        self.assertEqual(served.recv(100), b"")
        hairpin.wait_log("via https (closed|reset)")

    def test_who_is_not_trusted(self):
        hairpin = self.lab.hairpin(self.proxy())
        self.assertRegex(self.fetch(), "reset by peer|Couldn't connect|Recv failure")
        hairpin.wait_log("TLS handshake with 198.51.100.2: its certificate was not accepted: self-signed certificate; "
                         'name whom to trust by "certificate_path"')
        hairpin.stop()
        hairpin = self.lab.hairpin(self.proxy(certificate_path=str(self.cert), server_name="other.example"))
        self.fetch()
        hairpin.wait_log("hostname mismatch; set \"server_name\"")

    def test_no_tls_there(self):
        self.lab.nginx()
        hairpin = self.lab.hairpin({**self.proxy(), "server_port": 80})
        self.fetch()
        hairpin.wait_log("the server does not speak TLS on this port")

    def test_no_such_file(self):
        path = self.lab.folder / "wrong.json"
        path.write_text(json.dumps({"inbounds": [{"type": "tun", "address": "172.18.0.1/30"}],
                                    "outbounds": [self.proxy(certificate_path="/nonexistent")]}))
        done = self.lab.run(None, HAIRPIN, "check", "-c", path, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn("outbounds[0].tls.certificate_path: read /nonexistent: No such file", done.stderr)


class Detour(GroupsTest):
    """From the last proxy to the first: each is asked to reach the next."""

    def socks(self, tag, port, **more):
        return {"type": "socks", "tag": tag, "server": PROXY4, "server_port": port, **more}

    def test_tcp_through_three_proxies(self):
        self.lab.nginx()
        self.lab.microsocks()
        self.lab.dante()
        self.lab.tinyproxy()
        hairpin = self.lab.hairpin(
            self.socks("last", 1080, detour="middle"),
            {"type": "http", "tag": "middle", "server": PROXY4, "server_port": 8888, "detour": "first"},
            self.socks("first", 1081))
        self.assertEqual(self.fetch(), "hello from nginx\n")
        hairpin.stop()
        # Each one is needed, and the error says which one could not be reached by which.
        self.lab.processes[-2].stop()
        hairpin = self.lab.hairpin(
            self.socks("last", 1080, detour="middle"),
            {"type": "http", "tag": "middle", "server": PROXY4, "server_port": 8888, "detour": "first"},
            self.socks("first", 1081))
        self.fetch()
        hairpin.wait_log("via last failed: proxy: via middle: proxy: via first: SOCKS5: 198.51.100.2:8888: ")

    def test_names_of_servers_go_along(self):
        """Only the first proxy can resolve the second one's name."""
        self.lab.nginx()
        self.lab.microsocks()
        names = []
        proxy = NamingProxy(self.lab, 1090, {"second.test": (PROXY4, 1080)}, names)
        self.lab.hairpin(self.socks("second", 1080, server="second.test", detour="first"), self.socks("first", 1090))
        self.assertEqual(self.fetch(), "hello from nginx\n")
        self.assertEqual(names, ["second.test:1080"])
        proxy.close()

    def test_udp_through_two_proxies(self):
        self.lab.dante(1081)
        self.lab.dante(1082)
        echo = self.lab.start("server", "socat", f"UDP4-LISTEN:7007,fork,bind={TARGET4}", "EXEC:cat")
        self.lab.wait_listening("server", 7007, udp=True)
        hairpin = self.lab.hairpin(self.socks("second", 1082, detour="first"), self.socks("first", 1081))
        client = self.lab.udp("client")
        for size in (1, 100, 1400):
            client.sendto(b"x" * size, (TARGET4, 7007))
            self.assertEqual(client.recvfrom(2000), (b"x" * size, (TARGET4, 7007)))
        self.assertNotIn("udp_malformed", hairpin.counters())
        hairpin.stop()
        # A detour that carries no UDP is no way for UDP.
        self.lab.tinyproxy()
        hairpin = self.lab.hairpin(self.socks("second", 1082, detour="http"),
                                   {"type": "http", "tag": "http", "server": PROXY4, "server_port": 8888})
        client.connect((TARGET4, 7007))
        client.send(b"x")
        with self.assertRaises(ConnectionRefusedError):
            client.recv(100)
        hairpin.wait_counters(udp_rejected=1)


class Choice(GroupsTest):
    """Which way is taken: seen at the target, which the ways reach from different addresses."""

    WAYS = [{"type": "socks", "tag": "a", "server": PROXY4, "server_port": 1080},
            {"type": "socks", "tag": "b", "server": PROXY4, "server_port": 1081},
            DIRECT]

    def setUp(self):
        super().setUp()
        self.lab.nginx()
        self.a = self.lab.microsocks()  # reaches the target from the target's own address
        self.b = self.lab.dante()       # from the proxy's

    def who(self):
        said = self.fetch(path="who").strip()
        return {TARGET4: "a", PROXY4: "b", ROUTER4: "direct"}.get(said, said)

    def ask(self, *words, check=True):
        return self.lab.run("router", HAIRPIN, *words, check=check)

    def groups(self):
        return {group["tag"]: group for group in json.loads(self.ask("groups", "--json").stdout)}

    def group(self, kind, *members, **more):
        return {"type": kind, "tag": kind, "outbounds": list(members), **more}

    def test_selector(self):
        hairpin = self.lab.hairpin(self.group("selector", "a", "b", "direct", default="b"), *self.WAYS)
        self.assertEqual(self.who(), "b")
        for tag in ("a", "direct", "b", "direct"):
            self.assertEqual(self.ask("select", "selector", tag).stdout, "")
            self.assertEqual(self.who(), tag)
        self.assertRegex(self.ask("groups").stdout, r"^selector \(selector\)\n +a\n +b\n +\* direct\n$")
        for words, said in ((("selector", "c"), '"selector" has no outbound "c"; it has a b direct'),
                            (("a", "b"), 'no group has the tag "a"')):
            refused = self.ask("select", *words, check=False)
            self.assertEqual((refused.returncode, refused.stderr), (1, f"hairpin: {said}\n"))
        # The choice outlives a reload that changes the group's members.
        path = self.lab.folder / "hairpin.json"
        config = json.loads(path.read_text())
        config["outbounds"][0]["outbounds"] = ["direct", "a"]
        del config["outbounds"][0]["default"]
        config["outbounds"][3]["connect_timeout"] = "4s"
        path.write_text(json.dumps(config))
        self.ask("reload")
        hairpin.wait_log("reloaded")
        self.assertEqual(self.who(), "direct")
        self.ask("select", "selector", "a")
        self.assertEqual(self.who(), "a")
        # Only root is answered.
        other = self.lab.run("router", "setpriv", "--reuid=65534", "--clear-groups", HAIRPIN, "groups", "--pid",
                             str(hairpin.pid), check=False)
        self.assertEqual(other.returncode, 1, other.stderr)

    def test_a_choice_outlives_a_restart(self):
        cache = self.lab.folder / "state" / "cache"
        selected = cache.with_name("cache.selected")
        group = self.group("selector", "a", "b", "direct", default="b")
        other = {"type": "selector", "tag": "other", "outbounds": ["direct", "a"]}
        options = dict(extra={"experimental": {"cache_file": {"enabled": True, "path": str(cache)}}})
        hairpin = self.lab.hairpin(group, other, *self.WAYS, **options)
        self.assertEqual(self.who(), "b")
        self.ask("select", "selector", "direct")
        self.assertEqual(json.loads(selected.read_text()), {"selector": "direct"})
        os.kill(hairpin.pid, signal.SIGKILL)
        hairpin.process.popen.wait()
        hairpin = self.lab.hairpin(group, other, *self.WAYS, **options)
        self.assertEqual(self.who(), "direct")
        self.ask("select", "selector", "a")
        hairpin.stop()
        # A group without what was chosen begins with its default, and does not lose it.
        hairpin = self.lab.hairpin({**group, "outbounds": ["b", "direct"]}, other, *self.WAYS, **options)
        self.assertEqual(self.who(), "b")
        self.ask("select", "other", "a")
        self.assertEqual(json.loads(selected.read_text()), {"selector": "a", "other": "a"})
        hairpin.stop()
        # What is no file of ours stops nothing, and the next choice replaces it.
        selected.write_text('{"selector": "dir')
        hairpin = self.lab.hairpin(group, other, *self.WAYS, **options)
        hairpin.wait_log("tells no choices: ignored")
        self.assertEqual(self.who(), "b")
        self.ask("select", "selector", "a")
        self.assertEqual(json.loads(selected.read_text()), {"selector": "a"})
        hairpin.stop()
        # Without the file nothing is kept, nor looked at.
        hairpin = self.lab.hairpin(group, other, *self.WAYS)
        self.assertEqual(self.who(), "b")

    def test_running_connections(self):
        for interrupt in (False, True):
            listener = self.lab.listen(TARGET4, 7000)
            hairpin = self.lab.hairpin(
                self.group("selector", "a", "b", interrupt_exist_connections=interrupt), *self.WAYS)
            client = self.lab.socket("client")
            client.connect((TARGET4, 7000))
            served, _ = listener.accept()
            client.sendall(b"1")
            self.assertEqual(served.recv(10), b"1")
            self.ask("select", "selector", "b")
            if interrupt:
                with self.assertRaises(ConnectionResetError):
                    client.recv(10)
                hairpin.wait_counters(tcp_reset=1)
            else:
                client.sendall(b"2")
                self.assertEqual(served.recv(10), b"2")
            hairpin.stop()
            listener.close()

    def test_urltest(self):
        slow = SlowProxy(self.lab, 1085, 1080, 0.2)
        ways = [{**self.WAYS[0], "server_port": 1085}, *self.WAYS[1:]]
        group = self.group("urltest", "a", "b", url=f"http://{TARGET4}/", interval="300ms", idle_timeout="2s")
        hairpin = self.lab.hairpin(group, *ways, {"type": "failover", "tag": "both", "outbounds": ["urltest", "direct"],
                                             "retry_after": "500ms"},
                                   route={"final": "both"})
        wait_for(lambda: self.groups()["urltest"]["tcp"] == "b", "the fast one is used")
        self.assertEqual(self.who(), "b")

        def told():  # measured again and again
            delays = {m["tag"]: m["delay"] for m in self.groups()["urltest"]["outbounds"]}
            return delays["a"] > 200 and delays["b"] < 150

        wait_for(told, "the delays of both")
        # The fast one goes away, and the next connection goes the other way at once.
        self.b.stop()
        self.assertEqual(self.who(), "a")
        self.assertTrue(self.groups()["urltest"]["outbounds"][1]["failed"])
        # All are gone: the group around it has one more.
        slow.close()
        self.a.stop()
        self.assertEqual(self.who(), "direct")
        self.lab.microsocks()
        slow.open()
        wait_for(lambda: self.groups()["urltest"]["outbounds"][0].get("delay"), "it is measured again")
        # Nobody uses it: nobody measures.
        time.sleep(2.5)
        asked = slow.connections
        time.sleep(0.7)
        self.assertEqual(slow.connections, asked)
        self.fetch()
        wait_for(lambda: slow.connections > asked + 1, "measured again when it is used")
        slow.close()

    def test_urltest_over_https(self):
        """With the server's certificate; without, its answer is none."""
        certificate = self.lab.certificate(f"IP:{TARGET4}")
        self.lab.processes[0].stop()
        self.lab.nginx(tls=certificate)
        for trusted in (True, False):
            hairpin = self.lab.hairpin(
                self.group("urltest", "a", "b", url=f"https://{TARGET4}/"), *self.WAYS,
                env={**os.environ, "SSL_CERT_FILE": str(certificate[1]) if trusted else "/dev/null"})
            members = lambda: self.groups()["urltest"]["outbounds"]
            if trusted:
                wait_for(lambda: all(m.get("delay") for m in members()), "both are measured")
            else:
                wait_for(lambda: all(m.get("failed") for m in members()), "both have failed")
                self.assertFalse(any(m.get("delay") for m in members()))
            hairpin.stop()

    def test_one_measures_for_all(self):
        slow = SlowProxy(self.lab, 1085, 1080, 0)
        self.lab.hairpin({"type": "urltest", "tag": "u", "outbounds": ["a"], "url": f"http://{TARGET4}/"},
                         {**self.WAYS[0], "server_port": 1085})
        wait_for(lambda: self.groups()["u"]["outbounds"][0].get("delay"), "measured")
        time.sleep(0.2)
        self.assertEqual(slow.connections, 1)
        slow.close()

    def test_failover(self):
        hairpin = self.lab.hairpin(self.group("failover", "a", "b", "direct", retry_after="500ms"), *self.WAYS)
        self.assertEqual(self.who(), "a")
        # A destination that is not there is no failure of the way.
        self.lab.run("client", "curl", "-sS", "-m", "5", f"http://{TARGET4}:81/", check=False)
        self.assertEqual(self.who(), "a")
        self.assertNotIn("has failed", hairpin.log())
        self.a.stop()
        self.assertEqual(self.who(), "b")
        hairpin.wait_log("group failover: a has failed")
        self.b.stop()
        self.assertEqual(self.who(), "direct")
        self.lab.microsocks()
        time.sleep(0.6)
        wait_for(lambda: self.who() == "a", "the first is used again")
        hairpin.wait_log("group failover: a works again")
        self.assertEqual(hairpin.counters().get("tcp_dial_failed"), 1)

    def test_failover_of_udp(self):
        self.lab.start("server", "socat", f"UDP4-LISTEN:7007,fork,bind={TARGET4}", "EXEC:cat")
        self.lab.wait_listening("server", 7007, udp=True)
        ways = [{"type": "socks", "tag": "a", "server": PROXY4, "server_port": 1089}, *self.WAYS[1:]]
        hairpin = self.lab.hairpin(self.group("failover", "a", "b"), *ways)
        client = self.lab.udp("client", timeout=1)
        for _ in range(3):  # the first finds out
            client.sendto(b"ping", (TARGET4, 7007))
            with contextlib.suppress(TimeoutError):
                self.assertEqual(client.recvfrom(100), (b"ping", (TARGET4, 7007)))
                break
        else:
            self.fail("no answer")
        hairpin.wait_log("group failover: a has failed")
        hairpin.wait_counters(udp_queue_full=1)  # that found out


class Dialing(GroupsTest):
    def test_source_addresses(self):
        self.lab.nginx()
        self.lab.ip("router", "addr add 198.51.100.77/24 dev r1")
        self.lab.ip("router", "addr add 2001:db8:2::77/64 dev r1 nodad")
        self.lab.hairpin({**DIRECT, "inet4_bind_address": "198.51.100.77", "inet6_bind_address": "2001:db8:2::77"})
        self.assertEqual(self.fetch(path="who"), "198.51.100.77\n")
        self.assertEqual(self.fetch(TARGET6, path="who"), "2001:db8:2::77\n")
        # UDP too: who asks is told from where.
        server, client = self.lab.udp("server", TARGET4, 7007), self.lab.udp("client")
        client.sendto(b"x", (TARGET4, 7007))
        self.assertEqual(server.recvfrom(10)[1][0], "198.51.100.77")

    def test_fast_open(self):
        """The second connection to a proxy that takes it says hello in its SYN."""
        self.lab.nginx()
        self.lab.microsocks()
        self.lab.sysctl("server", "net.ipv4.tcp_fastopen=3")
        proxy = SlowProxy(self.lab, 1085, 1080, 0)
        proxy.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        self.lab.hairpin({"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1085, "tcp_fast_open": True})

        def with_data():
            seen = self.lab.run("router", "nstat", "-asz", "TcpExtTCPFastOpenActive").stdout
            return int(seen.split()[-2])

        for expected in (0, 1, 2):
            self.assertEqual(self.fetch(), "hello from nginx\n")
            self.assertEqual(with_data(), expected)
        proxy.close()


if __name__ == "__main__":
    main()
