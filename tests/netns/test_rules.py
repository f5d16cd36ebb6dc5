"""Rules on what flows say, rule-sets that change, and destinations that rules change."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
import time

from lab import HAIRPIN, PROXY4, TARGET4, TARGET6, LabTest, main, need, wait_for

PROXY = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1080}
DIRECT = {"type": "direct", "tag": "direct"}
QUIC_INITIAL = os.environ["HAIRPIN_QUIC_INITIAL"]
ONE_WORKER = ("taskset", "-c", str(min(os.sched_getaffinity(0))))  # one for each processor


class RulesTest(LabTest):
    def rules(self, *rules, **options):
        return self.lab.hairpin(DIRECT, PROXY, {"type": "block", "tag": "block"}, rules=rules, **options)

    def certificate(self):
        need("openssl")
        key, cert = self.lab.folder / "key.pem", self.lab.folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=example.com"],
                       check=True, capture_output=True)
        return key, cert

    def tls_server(self, port=443):
        need("openssl")
        key, cert = self.certificate()
        self.lab.start("server", "openssl", "s_server", "-accept", port, "-key", key, "-cert", cert, "-www", "-quiet")
        self.lab.wait_listening("server", port)

    def curl(self, *words):
        return self.lab.run("client", "curl", "-sSk", "-m", "5", *words, check=False)

    def through(self, hairpin, pattern):
        """Waits for a line of the log, which tells the way that a flow has taken."""
        hairpin.wait_log(pattern)


class Sniffing(RulesTest):
    def test_names_in_tls(self):
        need("curl")
        self.tls_server()
        self.lab.microsocks()
        hairpin = self.rules({"action": "sniff"}, {"domain_suffix": "proxied.example", "outbound": "proxy"},
                             {"protocol": "tls", "domain": "blocked.example", "action": "reject"})
        for address in (TARGET4, TARGET6):
            to = f"[{address}]" if ":" in address else address
            for name, way in (("www.proxied.example", "proxy"), ("other.example", "direct")):
                got = self.curl("--resolve", f"{name}:443:{to}", f"https://{name}/")
                self.assertIn("Ciphers supported", got.stdout, got.stderr)
                self.through(hairpin, rf"speaks tls to {name}")
                self.through(hairpin, rf"{to.replace('[', chr(92) + '[').replace(']', chr(92) + ']')}:443 via {way} opened")
            got = self.curl("--resolve", f"blocked.example:443:{to}", "https://blocked.example/")
            self.assertNotEqual(got.returncode, 0)
        hairpin.wait_counters(tcp_rejected=2)

    def test_names_in_http(self):
        need("curl")
        self.lab.nginx()
        self.lab.microsocks()
        hairpin = self.rules({"action": "sniff", "sniffer": "http"}, {"domain": "proxied.example", "outbound": "proxy"})
        got = self.curl("--resolve", f"proxied.example:80:{TARGET4}", "http://proxied.example/who")
        self.assertIn("203.0.113.", got.stdout, got.stderr)
        hairpin.wait_log(r"speaks http to proxied.example(.|\n)*:80 via proxy opened")
        got = self.curl("--resolve", f"direct.example:80:{TARGET4}", "http://direct.example/who")
        self.assertIn("198.51.100.", got.stdout, got.stderr)
        hairpin.wait_log(r"speaks http to direct.example(.|\n)*:80 via direct opened")

    def test_a_hello_in_single_bytes(self):
        """As slowly as a client may, and to the byte as it was sent."""
        listener = self.lab.listen(TARGET4, 9000)
        hairpin = self.rules({"action": "sniff", "timeout": "20s"}, {"domain": "slow.example", "outbound": "direct"},
                             {"action": "reject"})
        hello = self.hello("slow.example")
        client = self.lab.socket("client")
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect((TARGET4, 9000))

        def send():
            for byte in hello:
                client.send(bytes([byte]))
                time.sleep(0.002)

        sender = threading.Thread(target=send)
        sender.start()
        accepted, _ = listener.accept()
        got = b""
        while len(got) < len(hello):
            got += accepted.recv(65536)
        sender.join()
        self.assertEqual(got, hello)
        hairpin.wait_log("speaks tls to slow.example")

    def hello(self, name):
        """What Python's TLS says first."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
        except ssl.SSLWantReadError:
            pass
        return outgoing.read()

    def test_a_server_that_speaks_first(self):
        listener = self.lab.listen(TARGET4, 2525)
        hairpin = self.rules({"action": "sniff"}, {"protocol": "ssh", "action": "reject"})
        start = time.monotonic()
        client = self.lab.socket("client")
        client.connect((TARGET4, 2525))
        accepted, _ = listener.accept()
        accepted.sendall(b"220 hello\r\n")
        self.assertEqual(client.recv(100), b"220 hello\r\n")
        self.assertGreater(time.monotonic() - start, 0.25)
        self.assertLess(time.monotonic() - start, 3)
        client.sendall(b"EHLO\r\n")
        self.assertEqual(accepted.recv(100), b"EHLO\r\n")
        self.assertNotIn("tcp_rejected", hairpin.counters())

    def test_a_client_that_goes_away(self):
        listener = self.lab.listen(TARGET4, 9000)
        hairpin = self.rules({"action": "sniff", "timeout": "20s"}, {"protocol": "tls", "action": "reject"})
        for what in (b"", b"\x16\x03"):
            client = self.lab.socket("client")
            client.connect((TARGET4, 9000))
            client.sendall(what)
            client.shutdown(socket.SHUT_WR)
            accepted, _ = listener.accept()  # at once, not after 20 seconds
            self.assertEqual(accepted.recv(100), what)
            accepted.sendall(b"answer")
            self.assertEqual(client.recv(100), b"answer")
        wait_for(lambda: hairpin.descriptors() < 60, "descriptors given back")

    def test_thousands_that_say_nothing(self):
        listener = self.lab.listen(TARGET4, 9000, backlog=4096)
        hairpin = self.rules({"action": "sniff", "timeout": "1s"}, {"protocol": "tls", "action": "reject"})
        before = hairpin.descriptors()
        clients = [self.lab.socket("client") for _ in range(1000)]
        for client in clients:
            client.connect((TARGET4, 9000))
        wait_for(lambda: hairpin.counters().get("tcp_opened", 0) == 1000, "all of them served", 20)
        for client in clients:
            client.close()
        listener.close()
        wait_for(lambda: hairpin.descriptors() <= before + 70, "descriptors given back", 20)

    def quic(self, count):
        lines = subprocess.run([QUIC_INITIAL, str(count)], check=True, capture_output=True, text=True).stdout
        return [bytes.fromhex(line) for line in lines.split()]

    def test_names_in_quic(self):
        server = self.lab.udp("server", TARGET4, 443)
        for count in (1, 2, 3):
            hairpin = self.rules({"action": "sniff"}, {"protocol": "quic", "domain": "example.com", "outbound": "direct"},
                                 {"action": "reject"})
            client = self.lab.socket("client", kind=socket.SOCK_DGRAM, timeout=5)
            datagrams = self.quic(count)
            for datagram in datagrams:
                client.sendto(datagram, (TARGET4, 443))
                time.sleep(0.01)
            # All of them, as they were, in their order.
            for datagram in datagrams:
                got, peer = server.recvfrom(65535)
                self.assertEqual(got, datagram)
            server.sendto(b"answer", peer)
            self.assertEqual(client.recvfrom(100), (b"answer", (TARGET4, 443)))
            self.assertIn("speaks quic to example.com", hairpin.log())
            hairpin.stop()

    def test_quic_that_is_never_complete(self):
        server = self.lab.udp("server", TARGET4, 443)
        hairpin = self.rules({"action": "sniff"}, {"protocol": "quic", "action": "reject"})
        client = self.lab.socket("client", kind=socket.SOCK_DGRAM, timeout=5)
        first = self.quic(3)[0]
        start = time.monotonic()
        client.sendto(first, (TARGET4, 443))
        self.assertEqual(server.recvfrom(65535)[0], first)
        self.assertGreater(time.monotonic() - start, 0.25)
        self.assertNotIn("udp_rejected", hairpin.counters())

    def test_datagrams(self):
        need("dig")
        self.lab.dnsmasq()
        hairpin = self.rules({"action": "sniff"}, {"protocol": "dns", "domain_suffix": "blocked.example", "action": "reject"},
                             {"protocol": "stun", "action": "reject"})
        dig = ("dig", "+tries=1", f"@{TARGET4}")
        self.assertEqual(self.lab.run("client", *dig, "+time=1", "x.blocked.example", check=False).returncode, 9)
        hairpin.wait_log("speaks dns to x.blocked.example")
        self.assertEqual(self.lab.run("client", *dig, "+time=5", "name.example", check=False).returncode, 0)
        client = self.lab.socket("client", kind=socket.SOCK_DGRAM, timeout=2)
        client.connect((TARGET4, 3478))
        client.send(bytes.fromhex("000100002112a442") + b"123456789012")
        with self.assertRaises(ConnectionRefusedError):
            client.recv(100)


class Destinations(RulesTest):
    def test_tcp_goes_elsewhere(self):
        listener = self.lab.listen(TARGET4, 9001)
        self.rules({"port": 9000, "action": "route-options", "override_port": 9001},
                   {"ip_cidr": "203.0.113.77", "outbound": "direct", "override_address": TARGET4})
        client = self.lab.socket("client")
        client.connect(("203.0.113.77", 9000))
        accepted, _ = listener.accept()
        client.sendall(b"hello")
        self.assertEqual(accepted.recv(10), b"hello")

    def test_udp_goes_elsewhere_and_answers_come_from_where_they_were_asked(self):
        server = self.lab.udp("server", TARGET4, 9001)
        self.rules({"ip_cidr": "203.0.113.77", "outbound": "direct", "override_address": TARGET4, "override_port": 9001})
        client = self.lab.socket("client", kind=socket.SOCK_DGRAM, timeout=5)
        client.sendto(b"hello", ("203.0.113.77", 9000))
        got, peer = server.recvfrom(100)
        self.assertEqual(got, b"hello")
        server.sendto(b"answer", peer)
        self.assertEqual(client.recvfrom(100), (b"answer", ("203.0.113.77", 9000)))

    def test_two_destinations_that_become_one(self):
        server = self.lab.udp("server", TARGET4, 9001)
        self.rules({"ip_cidr": ["203.0.113.77", "203.0.113.78"], "outbound": "direct", "override_address": TARGET4})
        client = self.lab.socket("client", kind=socket.SOCK_DGRAM, timeout=5)
        for address in ("203.0.113.77", TARGET4, "203.0.113.78", TARGET4, "203.0.113.77"):
            client.sendto(b"hello", (address, 9001))
            _, peer = server.recvfrom(100)
            server.sendto(b"answer", peer)
            self.assertEqual(client.recvfrom(100), (b"answer", (address, 9001)))

    def test_more_destinations_than_are_remembered(self):
        server = self.lab.udp("server", TARGET4, 9001)
        hairpin = self.rules({"ip_cidr": "203.0.113.128/25", "outbound": "direct", "override_address": TARGET4,
                              "override_port": 9001})
        client = self.lab.socket("client", kind=socket.SOCK_DGRAM, timeout=5)
        for i in range(600):
            to = (f"203.0.113.{128 + i % 100}", 1000 + i)
            client.sendto(b"hello", to)
            _, peer = server.recvfrom(100)
            server.sendto(b"answer", peer)
            self.assertEqual(client.recvfrom(100), (b"answer", to))
        hairpin.wait_counters(udp_opened=1)

    def test_an_association_that_ends_while_it_is_sniffed(self):
        datagram = bytes.fromhex(subprocess.run([QUIC_INITIAL, "3"], check=True, capture_output=True, text=True).stdout.split()[0])
        hairpin = self.rules({"action": "sniff", "timeout": "8s"}, tun={"udp_timeout": "1s"})
        for i in range(20):
            self.lab.socket("client", kind=socket.SOCK_DGRAM).sendto(datagram, (TARGET4, 443 + i))
        wait_for(lambda: hairpin.counters().get("udp_closed") == 20, "all have ended")
        hairpin.wait_counters(udp_queue_full=20)  # what waited is counted

    def test_udp_timeout(self):
        server = self.lab.udp("server", TARGET4, 9001)
        hairpin = self.rules({"port": 9001, "outbound": "direct", "udp_timeout": "1s"})
        client = self.lab.socket("client", kind=socket.SOCK_DGRAM, timeout=5)
        client.sendto(b"hello", (TARGET4, 9001))
        _, peer = server.recvfrom(100)
        server.sendto(b"answer", peer)
        client.recvfrom(100)
        start = time.monotonic()
        wait_for(lambda: hairpin.counters().get("udp_closed") == 1, "the association has ended")
        self.assertLess(time.monotonic() - start, 5)


class Processes(RulesTest):
    """Whoever opens a flow in the router is a process of this host; the client's flows are nobody's here."""

    def sends(self, ns, *words, port=9000, program="socat"):
        """Whether a program's TCP connection reaches the server."""
        listener = self.lab.listen(TARGET4, port)
        listener.settimeout(0.05)
        process = self.lab.start(ns, *words, "socat", "-u", "SYSTEM:echo hello; sleep 5", f"TCP4:{TARGET4}:{port}")

        def arrived():
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]

        try:
            accepted = wait_for(lambda: arrived() or process.popen.poll() is not None, "socat to get through, or to give up")
            if accepted is True:
                return False
            accepted.settimeout(10)
            return accepted.recv(100) == b"hello\n"
        finally:
            process.stop()
            listener.close()

    def test_names_and_users(self):
        need("socat")
        for condition, as_root, as_nobody, forwarded in (
                ({"process_name": "socat"}, False, False, True), ({"process_name": "soca"}, True, True, True),
                ({"process_path_regex": "/soc[a]t[0-9]?$"}, False, False, True), ({"user": "nobody"}, True, False, True),
                ({"user_id": 0}, False, True, True), ({"user_id": 0, "invert": True}, True, False, False)):
            if "process_name" in condition and condition["process_name"] == "socat":
                # Debian's socat is a link to socat1.
                condition = {"process_name": ["socat", "socat1"]}
            hairpin = self.rules({**condition, "action": "reject"})
            with self.subTest(condition=condition):
                self.assertEqual(self.sends("router"), as_root)
                self.assertEqual(self.sends("router", "setpriv", "--reuid=65534", "--clear-groups"), as_nobody)
                self.assertEqual(self.sends("client"), forwarded)
            hairpin.stop()

    def test_datagrams(self):
        need("socat")
        server = self.lab.udp("server", TARGET4, 9001, timeout=10)
        hairpin = self.rules({"user_id": 65534, "network": "udp", "action": "reject"})
        sender = f"UDP4:{TARGET4}:9001"
        for words, arrives in (((), True), (("setpriv", "--reuid=65534", "--clear-groups"), False)):
            process = self.lab.start("router", *words, "socat", "-u", "-T2", "SYSTEM:echo one; sleep 0.2; echo two; sleep 5", sender)
            if arrives:
                self.assertEqual(server.recvfrom(100)[0], b"one\n")
                self.assertEqual(server.recvfrom(100)[0], b"two\n")
            else:
                wait_for(lambda: hairpin.counters().get("udp_rejected"), "a datagram to be rejected")
                server.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    server.recvfrom(100)
            process.stop()

    def test_many_at_once(self):
        """A thousand flows, all of one process: its descriptors are looked through for each of them."""
        listener = self.lab.listen(TARGET4, 9000, backlog=4096)
        hairpin = self.rules({"process_name": "nobody-has-this", "action": "reject"})
        sockets = [self.lab.socket("router") for _ in range(1000)]
        for sock in sockets:
            sock.connect((TARGET4, 9000))
        wait_for(lambda: hairpin.counters().get("tcp_opened", 0) == 1000, "all of them served", 30)
        listener.close()


class Clients(RulesTest):
    def test_hardware_addresses(self):
        """Of hosts on the same link; read again when another has the address."""
        self.listener = self.lab.listen(TARGET4, 9000)
        mac = json.loads(self.lab.ip("client", "-j link show c0").stdout)[0]["address"]
        self.rules({"source_mac_address": mac, "port": 9000, "action": "reject"})

        def rejected():
            client = self.lab.socket("client", timeout=3)
            with client:
                return client.connect_ex((TARGET4, 9000)) != 0

        self.assertTrue(rejected())
        self.lab.ip("client", "link set c0 address 02:00:5e:00:53:07")
        self.lab.run("client", "ping", "-c", "1", "192.0.2.1")
        wait_for(lambda: not rejected(), "the rule to know the new address", 15)


class Rejections(RulesTest):
    def tell(self, kind, port, timeout=0.9):
        """Whether a client is told that it is rejected, before its kernel asks again."""
        client = self.lab.socket("client", kind=kind, timeout=timeout)
        with client:
            try:
                client.connect((TARGET4, port))
                if kind == socket.SOCK_DGRAM:
                    client.send(b"x")
                    client.recv(10)
            except TimeoutError:
                return False
            except ConnectionRefusedError:
                return True
        self.fail("it was not rejected")

    def test_a_rule_that_rejects_too_often_turns_silent(self):
        # One client, one worker: each counts for itself.
        for kind, rejected in ((socket.SOCK_STREAM, "tcp_rejected"), (socket.SOCK_DGRAM, "udp_rejected")):
            hairpin = self.rules({"port": 9000, "action": "reject"}, {"port": 9001, "action": "reject", "no_drop": True},
                                 wrap=ONE_WORKER)
            self.assertEqual([self.tell(kind, 9000) for _ in range(50)], [True] * 50)
            self.assertEqual([self.tell(kind, 9000, 0.3) for _ in range(2)], [False] * 2)
            self.assertTrue(all(self.tell(kind, 9001) for _ in range(60)))
            counters = hairpin.counters()
            # A SYN that is not answered comes again.
            self.assertGreaterEqual(counters["reject_silenced"], 2)
            self.assertEqual(counters[rejected], 110 + counters["reject_silenced"])
            hairpin.stop()


class RuleSets(RulesTest):
    def write(self, path, *prefixes, binary=False):
        source = path.with_suffix(".source") if binary else path
        source.write_text(json.dumps({"version": 3, "rules": [{"ip_cidr": list(prefixes)}]}))
        if binary:
            # In place of the old one, as careful writers do.
            fresh = path.with_suffix(".fresh")
            self.lab.run(None, HAIRPIN, "rule-set", "compile", source, "-o", fresh)
            fresh.rename(path)

    def connects(self):
        client = self.lab.socket("client", timeout=3)
        try:
            client.connect((TARGET4, 9000))
            client.settimeout(0.3)
            return client.recv(1) != b""
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        finally:
            client.close()

    def test_a_remote_file(self):
        """Fetched through an outbound, kept, looked for again; a broken one, or none, changes nothing."""
        self.lab.nginx()
        self.lab.microsocks()
        self.listener = self.lab.listen(TARGET4, 9000)
        served, kept = self.lab.folder / "www" / "set.json", self.lab.folder / "kept" / "set.json"
        self.write(served, f"{TARGET4}/32")
        options = dict(route={"rule_set": [{
            "type": "remote", "tag": "far", "url": f"http://{TARGET4}/set.json?x=1", "path": str(kept),
            "update_interval": "1s", "download_detour": "proxy"}]})
        rule = {"rule_set": "far", "port": 9000, "action": "reject"}
        hairpin = self.rules(rule, **options)
        hairpin.wait_log('"far" was fetched from(.|\n)*"far" was read again')
        wait_for(lambda: not self.connects(), "the rules that were fetched")
        self.write(served, "192.0.2.0/24")
        os.utime(served, (time.time() + 5, time.time() + 5))
        wait_for(self.connects, "the rules that were fetched later")
        served.write_text("nonsense")
        hairpin.wait_log('"far" could not be fetched from .*: ')
        self.assertTrue(self.connects())
        self.assertIn("192.0.2.0", kept.read_text())
        served.unlink()
        hairpin.wait_log('"far" could not be fetched from .*: HTTP status 404')
        hairpin.stop()
        # Started again without its server: as it was.
        self.write(kept, f"{TARGET4}/32")
        self.rules(rule, **options)
        wait_for(lambda: not self.connects(), "the rules that were kept")

    def test_a_remote_file_over_https(self):
        """Fetched only from the server that has the certificate for its name."""
        certificate = self.lab.certificate(f"IP:{TARGET4}")
        self.lab.nginx(tls=certificate)
        self.listener = self.lab.listen(TARGET4, 9000)
        self.write(self.lab.folder / "www" / "set.json", f"{TARGET4}/32")
        for trusted in (False, True):
            hairpin = self.rules(
                {"rule_set": "far", "port": 9000, "action": "reject"},
                route={"rule_set": [{"type": "remote", "tag": "far", "url": f"https://{TARGET4}/set.json",
                                     "path": str(self.lab.folder / "kept" / "set.json")}]},
                env={**os.environ, "SSL_CERT_FILE": str(certificate[1]) if trusted else "/dev/null"})
            if trusted:
                wait_for(lambda: not self.connects(), "the rules that were fetched")
            else:
                hairpin.wait_log('"far" could not be fetched from .*: .*certificate')
                self.assertTrue(self.connects())
            hairpin.stop()

    def test_a_file_that_changes(self):
        """Its rules are others at once; what runs goes on; a broken file changes nothing."""
        for name, binary in (("set.json", False), ("set.srs", True)):
            listener = self.lab.listen(TARGET4, 9000)
            path = self.lab.folder / name
            self.write(path, "192.0.2.0/24", binary=binary)
            hairpin = self.rules({"rule_set": "some", "action": "reject"},
                                 route={"rule_set": [{"type": "local", "tag": "some", "path": str(path)}]})
            running = self.lab.socket("client")
            running.connect((TARGET4, 9000))
            accepted, _ = listener.accept()
            self.assertTrue(self.connects())
            self.write(path, "203.0.113.0/24", binary=binary)
            hairpin.wait_log('rule-set "some" was read again')
            wait_for(lambda: not self.connects(), "the new rules hold")
            path.write_bytes(b"{ nonsense")
            hairpin.wait_log("the rule-set stays as it was")
            self.assertFalse(self.connects())
            self.write(path, "192.0.2.0/24", binary=binary)
            wait_for(self.connects, "the old rules hold again")
            running.sendall(b"still here")
            self.assertEqual(accepted.recv(100), b"still here")
            hairpin.stop()
            listener.close()

    def test_match_and_rule_set(self):
        """The commands, as a person types them."""
        path = self.lab.folder / "set.json"
        self.write(path, "203.0.113.0/24")
        run = lambda *words: self.lab.run(None, HAIRPIN, *map(str, words), check=False)
        binary = self.lab.folder / "set.srs"
        self.assertEqual(run("rule-set", "compile", path, "-o", binary).returncode, 0)
        self.assertIn('"203.0.113.0/24"', run("rule-set", "decompile", binary).stdout)
        got = run("rule-set", "match", binary, "203.0.113.5")
        self.assertEqual((got.returncode, got.stdout), (0, "rules[0]: ip_cidr 203.0.113.0/24\n"))
        got = run("rule-set", "match", binary, "example.com")
        self.assertEqual((got.returncode, got.stdout), (1, "no rule\n"))
        config = self.lab.folder / "match.json"
        config.write_text(json.dumps({
            "inbounds": [{"type": "tun", "address": "172.18.0.1/30"}], "outbounds": [DIRECT, PROXY],
            "route": {"rule_set": [{"type": "local", "tag": "some", "path": str(binary)}],
                      "rules": [{"action": "sniff"}, {"port": 22, "outbound": "direct"}, {"rule_set": "some", "outbound": "proxy"}]}}))
        got = run("match", "-c", config, "203.0.113.5:443")
        self.assertEqual(got.stdout, "route.rules[0]: yes: without conditions, sniff\nroute.rules[1]: no: port\n"
                                     "route.rules[2]: yes: rule_set some\noutbound proxy\n")
        config.write_text(config.read_text().replace('"port": 22', '"process_name": "curl", "user_id": 7'))
        got = run("match", "-c", config, "--process", "/usr/bin/curl", "--user", "7", "192.0.2.1")
        self.assertIn("rules[1]: yes: process_name curl, user_id 7\noutbound direct", got.stdout)
        config.write_text(config.read_text().replace('"user_id": 7', '"source_mac_address": "02:00:5e:00:53:01"'))
        got = run("match", "-c", config, "--process", "/usr/bin/curl", "--source-mac", "02:00:5E:00:53:01", "192.0.2.1")
        self.assertIn("rules[1]: yes: ", got.stdout)
        got = run("match", "-c", config, "--process", "/usr/bin/curl", "--source-mac", "02:00:5e:00:53:02", "192.0.2.1")
        self.assertIn("rules[1]: no: source_mac_address", got.stdout)
        for words, status in ((("match", "-c", config), 2), (("match", "-c", config, "--source-mac", "x", "203.0.113.5"), 2), (("match", "-c", config, "a b", "c"), 2),
                              (("match", "-c", config, "--source", "name", "203.0.113.5"), 2),
                              (("match", "-c", config, "--inbound", "none", "203.0.113.5"), 2),
                              (("match", "203.0.113.5"), 2), (("rule-set", "compile"), 2), (("rule-set", "melt", path), 2),
                              (("rule-set", "match", path), 2), (("rule-set", "compile", "/nowhere"), 78),
                              (("rule-set", "compile", path, "-o", "/nowhere/x"), 1)):
            got = run(*words)
            self.assertEqual(got.returncode, status, (words, got.stderr))
            self.assertTrue(got.stderr)


if __name__ == "__main__":
    main()
