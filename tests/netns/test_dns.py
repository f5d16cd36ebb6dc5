"""Questions for names: answered by rules, through outbounds, from the cache; names for flows."""

import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from lab import OTHER4, OTHER6, PROXY4, TARGET4, TARGET6, LabTest, main, need, wait_for

DIRECT = {"type": "direct", "tag": "direct"}
PROXY = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1080}
HIJACK = {"port": 53, "action": "hijack-dns"}
REAL = {"type": "udp", "tag": "real", "server": TARGET4}


def name_of(wire, at):
    labels = []
    while wire[at]:
        labels.append(wire[at + 1:at + 1 + wire[at]].decode())
        at += 1 + wire[at]
    return ".".join(labels), at + 1


def question_of(message):
    name, end = name_of(message, 12)
    return name, struct.unpack(">H", message[end:end + 2])[0], message[12:end + 4]


def answer_to(message, addresses=(), rcode=0, ttl=60, ident=None, question=None, flags=0x8180):
    head = struct.pack(">HHHHHH", ident if ident is not None else struct.unpack(">H", message[:2])[0],
                       flags | rcode, 1, len(addresses), 0, 0)
    records = b"".join(struct.pack(">HHHIH", 0xc00c, 28 if ":" in a else 1, 1, ttl, 16 if ":" in a else 4)
                       + socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a) for a in addresses)
    return head + (question or question_of(message)[2]) + records


def query(name, kind=1, ident=0x1234, flags=0x0100):
    wire = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", ident, flags, 1, 0, 0, 0) + wire + struct.pack(">HH", kind, 1)


class DnsTest(LabTest):
    def dns(self, servers, *outbounds, dns_rules=(), rules=(HIJACK,), dns=None, extra=None, **options):
        extra = {"dns": {"servers": servers, "rules": list(dns_rules), **(dns or {})}, **(extra or {})}
        return self.lab.hairpin(*(outbounds or (DIRECT, PROXY)), rules=rules, extra=extra, **options)

    def dnsmasq(self, *words, ns="server", address=TARGET4, log=True):
        need("dnsmasq", "dig")
        process = self.lab.start(
            ns, "dnsmasq", "-k", "-C", "/dev/null", "--no-hosts", "--no-resolv", "--user=root", "--log-facility=-",
            f"--pid-file={self.lab.folder}/dnsmasq-{address}.pid", f"--address=/test.example/{TARGET4}",
            f"--address=/test.example/{TARGET6}", "--txt-record=big.example," + ",".join(["x" * 200] * 10),
            "--cname=alias.example,next.example", "--cname=next.example,real.example",
            f"--host-record=real.example,{TARGET4},300", "--local=/example/", "--bind-interfaces",
            "--cache-size=0", "--local-ttl=300", *(["--log-queries"] if log else []), f"--listen-address={address}", *words)
        self.lab.wait_listening(ns, 53, udp=True)
        return process

    def dig(self, *words, server=OTHER4, ns="client", check=True):
        got = self.lab.run(ns, "dig", f"@{server}", "+time=12", "+tries=1", *words, check=False)
        if check:
            self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        return got.stdout

    def short(self, *words, **options):
        return self.dig("+short", *words, **options).split()

    def asked(self, process, what):
        """How often a server was asked."""
        return len(re.findall(rf"query\[\w+\] {re.escape(what)} ", process.out() + process.err()))

    def python_server(self, handle, address=OTHER4, port=5353, ns="server"):
        """Calls handle(socket, message, client) for each datagram."""
        self.lab.answer(self.lab.udp(ns, address, port), handle)
        return {"type": "udp", "tag": "python", "server": address, "server_port": port}


class Answers(DnsTest):
    def test_over_udp_and_tcp(self):
        real = self.dnsmasq()
        hairpin = self.dns([REAL])
        for words in (["test.example"], ["+tcp", "test.example"], ["+noedns", "test.example"]):
            self.assertEqual(self.short(*words), [TARGET4])
            self.assertEqual(self.short(*words, "AAAA"), [TARGET6])
        self.assertEqual(self.short("test.example", server=OTHER6), [TARGET4])
        self.assertEqual(self.asked(real, "test.example"), 2, real.out() + real.err())  # A and AAAA
        counters = hairpin.counters()
        self.assertEqual((counters["dns_in"], counters["dns_asked"]), (7, 2))
        self.assertEqual(counters["dns_cached"], 5)
        many = self.dig("+tcp", "+keepopen", "test.example", "real.example", "nowhere.example", "alias.example")
        self.assertEqual(many.count("status: NOERROR"), 3)
        self.assertEqual(many.count("status: NXDOMAIN"), 1)

    def test_aliases_and_what_does_not_fit(self):
        self.dnsmasq()
        self.dns([REAL])
        self.assertEqual(self.short("alias.example"), ["next.example.", "real.example.", TARGET4])
        big = self.dig("+bufsize=1232", "+ignore", "big.example", "TXT")
        self.assertIn(" tc ", big)
        self.assertIn("ANSWER: 0", big)
        self.assertEqual(self.dig("big.example", "TXT").count("x" * 200), 10)  # by TCP, as dig does by itself
        self.assertEqual(self.dig("+bufsize=4096", "+ignore", "big.example", "TXT").count("x" * 200), 10)

    def test_lifetimes(self):
        count = []
        server = self.python_server(lambda sock, message, client: (
            count.append(1), sock.sendto(answer_to(message, ["192.0.2.77"], ttl=3), client)))
        self.dns([server])
        first = self.dig("short.example")
        self.assertRegex(first, r"short.example.\s+3\s+IN\s+A\s+192.0.2.77")
        time.sleep(1.2)
        self.assertRegex(self.dig("short.example"), r"short.example.\s+[12]\s+IN")
        self.assertEqual(len(count), 1)
        time.sleep(2.3)
        self.assertRegex(self.dig("short.example"), r"short.example.\s+3\s+IN")
        self.assertEqual(len(count), 2)

    def test_what_is_no_question(self):
        self.dnsmasq()
        hairpin = self.dns([REAL])
        client = self.lab.udp("client", timeout=5)

        def ask(message):
            client.sendto(message, (OTHER4, 53))
            return client.recv(4096)

        def flags(message):
            return struct.unpack(">H", ask(message)[2:4])[0]

        self.assertEqual(flags(query("test.example", flags=0x2100)) & 0xf80f, 0xa004)  # UPDATE: NOTIMP
        two = bytearray(query("test.example"))
        two[5] = 2
        self.assertEqual(flags(bytes(two)) & 0x800f, 0x8001)  # FORMERR
        self.assertEqual(flags(query("test.example")[:-3]) & 0x800f, 0x8001)  # cut short
        self.assertEqual(flags(query("test.example", kind=252)) & 0x800f, 0x8004)  # AXFR
        self.assertIn("BADVERS", self.dig("+edns=1", "+noednsneg", "test.example"))
        self.assertIn("REFUSED", self.dig("-c", "CH", "version.bind", "TXT"))
        for silence in (b"", b"x" * 11, query("test.example", flags=0x8180)):
            client.sendto(silence, (OTHER4, 53))
        self.assertEqual(client.sendto(query("test.example"), (OTHER4, 53)), 30)
        self.assertIn(socket.inet_aton(TARGET4), client.recv(4096))  # nothing was said to the others
        self.assertGreaterEqual(hairpin.counters()["dns_malformed"], 9)

    def test_one_question_for_all_who_wait(self):
        asked = []

        def slowly(sock, message, client):
            asked.append((question_of(message)[0], client, message[:2]))  # repeated alike
            threading.Timer(0.5, lambda: sock.sendto(answer_to(message, ["192.0.2.77"]), client)).start()

        server = self.python_server(slowly)
        self.dns([server])
        digs = [self.lab.start("client", "dig", f"@{OTHER4}", "+short", "+tries=1", "once.example") for _ in range(10)]
        for dig in digs:
            self.assertEqual(dig.wait(), 0)
            self.assertEqual(dig.out().strip(), "192.0.2.77")
        self.assertEqual([name for name, *_ in set(asked)], ["once.example"])

    def test_servers_that_lie(self):
        def lie(sock, message, client):
            name, kind, question = question_of(message)
            ident = struct.unpack(">H", message[:2])[0]
            if name == "liar.example":
                sock.sendto(answer_to(message, ["192.0.2.66"], ident=ident ^ 1), client)
                other = question_of(query("other.example"))[2]
                sock.sendto(answer_to(message, ["192.0.2.66"], question=other), client)
                sock.sendto(b"\xff" * 700, client)
                stranger = self.lab.udp("server", OTHER4, 5354)
                stranger.sendto(answer_to(message, ["192.0.2.66"]), client)
                sock.sendto(answer_to(message, ["192.0.2.77"]), client)
            elif name == "poison.example":
                # Records of other names beside the answer.
                extra = b"\x06victim\x07example\0" + struct.pack(">HHIH", 1, 1, 600, 4) + socket.inet_aton("192.0.2.66")
                good = bytearray(answer_to(message, ["192.0.2.77"]))
                good[7] = 2
                sock.sendto(bytes(good) + extra, client)
            elif name == "damaged.example":
                sock.sendto(answer_to(message, ["192.0.2.77"])[:-2], client)
            elif name == "loop.example":
                good = bytearray(answer_to(message))
                good[7] = 1
                sock.sendto(bytes(good) + b"\xc0" + bytes([len(good)]) + struct.pack(">HHIH", 1, 1, 60, 4) + b"abcd", client)
            elif name == "victim.example":
                sock.sendto(answer_to(message, rcode=3), client)

        server = self.python_server(lie)
        hairpin = self.dns([server])
        self.assertEqual(self.short("liar.example"), ["192.0.2.77"])
        self.assertEqual(self.short("poison.example"), ["192.0.2.77"])
        self.assertIn("NXDOMAIN", self.dig("victim.example"))
        for name in ("damaged.example", "loop.example"):
            self.assertIn("SERVFAIL", self.dig(name))
        # One that says nothing holds up nobody else.
        silent = self.lab.start("client", "dig", f"@{OTHER4}", "+time=15", "+tries=1", "silent.example")
        time.sleep(0.2)
        self.assertEqual(self.short("poison.example"), ["192.0.2.77"])
        self.assertEqual(silent.wait(), 0)
        self.assertIn("SERVFAIL", silent.out())
        hairpin.wait_counters(dns_failed=3)


class Rules(DnsTest):
    def test_actions(self):
        real = self.dnsmasq()
        (self.lab.folder / "hosts").write_text("192.0.2.55 in-hosts.example\n")
        self.dns([REAL, {"type": "hosts", "tag": "hosts", "path": str(self.lab.folder / "hosts"),
                         "predefined": {"fixed.example": ["192.0.2.56", "2001:db8::56"]}}],
                 dns_rules=[
                     {"server": "hosts", "ip_accept_any": True},
                     {"domain": "refused.example", "action": "reject"},
                     {"domain": "dropped.example", "action": "reject", "method": "drop"},
                     {"domain": "gone.example", "action": "predefined", "rcode": "NXDOMAIN"},
                     {"domain": "said.example", "query_type": "A", "action": "predefined",
                      "answer": ["said.example. 17 IN A 192.0.2.57", "said.example. IN TXT \"hello\""]},
                     {"domain": "test.example", "query_type": "AAAA", "server": "real", "strategy": "ipv4_only"},
                     {"domain": "test.example", "server": "real", "rewrite_ttl": 7},
                 ])
        self.assertEqual(self.short("in-hosts.example"), ["192.0.2.55"])
        self.assertEqual(self.short("fixed.example", "AAAA"), ["2001:db8::56"])
        self.assertIn("REFUSED", self.dig("refused.example"))
        self.assertIn("NXDOMAIN", self.dig("gone.example"))
        self.assertRegex(self.dig("said.example"), r"said.example.\s+17\s+IN\s+A\s+192.0.2.57")
        self.assertRegex(self.dig("test.example"), r"test.example.\s+7\s+IN")
        empty = self.dig("test.example", "AAAA")
        self.assertIn("NOERROR", empty)
        self.assertIn("ANSWER: 0", empty)
        self.assertNotEqual(self.lab.run("client", "dig", f"@{OTHER4}", "+time=1", "+tries=1", "dropped.example",
                                         check=False).returncode, 0)
        self.assertEqual(self.asked(real, "test.example"), 1)

    def test_addresses_of_answers(self):
        """A server is believed only where its addresses fulfil the rule."""
        self.dnsmasq()
        inner = self.python_server(lambda sock, message, client: sock.sendto(answer_to(
            message, ["10.1.2.3"] if question_of(message)[0] == "inside.example" else ["192.0.2.200"]), client))
        self.dns([REAL, inner], dns_rules=[{"ip_is_private": True, "server": "python"}], dns={"final": "real"})
        self.assertEqual(self.short("inside.example"), ["10.1.2.3"])
        self.assertEqual(self.short("test.example"), [TARGET4])


class Ways(DnsTest):
    def test_through_a_proxy_nothing_leaks(self):
        """Over TCP, and over UDP: no packet to port 53 is seen on the uplink."""
        need("tcpdump")
        self.dnsmasq()
        self.lab.dante(port=1080)
        capture = self.lab.start("router", "tcpdump", "-n", "-l", "-i", "r1", "port", "53")
        wait_for(lambda: "listening on" in capture.err(), "tcpdump")
        for kind in ("tcp", "udp"):
            hairpin = self.dns([{"type": kind, "tag": "far", "server": TARGET4, "detour": "proxy"}])
            self.assertEqual(self.short(f"{kind}.test.example"), [TARGET4])
            self.assertEqual(self.short("+tcp", f"{kind}.test.example", "AAAA"), [TARGET6])
            hairpin.stop()
        self.lab.run("router", "ping", "-c", "1", PROXY4)
        time.sleep(0.3)
        self.assertEqual(capture.out(), "")

    def test_over_tcp_that_is_closed(self):
        """Servers close connections when they please."""
        listener = self.lab.listen(OTHER4, 5353)
        connections = []

        def serve():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                connections.append(1)
                size = struct.unpack(">H", sock.recv(2))[0]
                message = sock.recv(size)
                answer = answer_to(message, ["192.0.2.77"], ttl=0)
                sock.sendall(struct.pack(">H", len(answer)) + answer)
                sock.close()

        threading.Thread(target=serve, daemon=True).start()
        self.dns([{"type": "tcp", "tag": "t", "server": OTHER4, "server_port": 5353}])
        for _ in range(3):
            self.assertEqual(self.short("closed.example"), ["192.0.2.77"])
        self.assertEqual(len(connections), 3)

    def test_a_server_that_is_not_there(self):
        hairpin = self.dns([{"type": "udp", "tag": "none", "server": OTHER4, "server_port": 5399},
                            {"type": "tcp", "tag": "tcp", "server": OTHER4, "server_port": 5399}],
                           dns_rules=[{"domain": "tcp.example", "server": "tcp"}])
        self.assertIn("SERVFAIL", self.dig("tcp.example"))
        hairpin.wait_log('server "tcp" failed: connect .*: Connection refused')


class Unbound(DnsTest):
    def unbound(self):
        need("unbound", "openssl")
        folder = self.lab.folder
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2",
                        "-subj", "/CN=dns.example", "-addext", "subjectAltName=DNS:dns.example"],
                       check=True, capture_output=True)
        (folder / "unbound.conf").write_text(f"""
            server:
              do-daemonize: no
              username: ""
              chroot: ""
              directory: "{folder}"
              pidfile: "{folder}/unbound.pid"
              use-syslog: no
              logfile: ""
              log-queries: yes
              interface: {TARGET4}@53
              interface: {TARGET4}@853
              interface: {TARGET4}@443
              interface: {PROXY4}@53
              tls-service-key: "{folder}/key.pem"
              tls-service-pem: "{folder}/cert.pem"
              tls-port: 853
              https-port: 443
              access-control: 0.0.0.0/0 allow
              do-not-query-localhost: no
              module-config: "iterator"
              local-zone: "signed.example." static
              local-data: "signed.example. 300 IN A {TARGET4}"
              local-data: "signed.example. 300 IN SOA ns.signed.example. root.signed.example. 1 2 3 4 30"
              local-data: "many.signed.example. 300 IN TXT \\"{'y' * 200}\\""
              local-zone: "never.example." always_refuse
              local-zone: "nothing.example." always_nodata
        """)
        process = self.lab.start("server", "unbound", "-c", folder / "unbound.conf")
        for port in (53, 853, 443):
            self.lab.wait_listening("server", port)
        return process

    def asked(self, process, name):
        return process.err().count(f" {name}. ")

    def test_over_tls_and_https(self):
        """With the server's certificate; not without, and under no other name."""
        unbound = self.unbound()
        tls = {"certificate_path": str(self.lab.folder / "cert.pem"), "server_name": "dns.example"}
        self.lab.microsocks()
        hairpin = self.dns(
            [{"type": "tls", "tag": "tls", "server": TARGET4, "tls": tls},
             {"type": "https", "tag": "https", "server": TARGET4, "tls": tls},
             {"type": "tls", "tag": "tls-far", "server": TARGET4, "tls": tls, "detour": "proxy"},
             {"type": "https", "tag": "https-far", "server": TARGET4, "tls": tls, "detour": "proxy"},
             {"type": "https", "tag": "elsewhere", "server": TARGET4, "tls": tls, "path": "/other"},
             {"type": "tls", "tag": "stranger", "server": TARGET4, "tls": {"server_name": "dns.example"}},
             {"type": "tls", "tag": "other", "server": TARGET4, "tls": {**tls, "server_name": "other.example"}}],
            dns_rules=[{"inbound": "tun", "domain": f"{tag}.signed.example", "server": tag}
                       for tag in ("https", "tls-far", "https-far", "elsewhere", "stranger", "other")])
        self.assertEqual(self.short("signed.example"), [TARGET4])
        for tag in ("https", "tls-far", "https-far"):
            self.assertIn("NXDOMAIN", self.dig(f"{tag}.signed.example"), hairpin.log())
        for tag in ("elsewhere", "stranger", "other"):
            self.assertIn("SERVFAIL", self.dig(f"{tag}.signed.example"))
        hairpin.wait_log('server "elsewhere" failed: .*HTTP status 404')
        hairpin.wait_log('server "stranger" failed: .*certificate')
        hairpin.wait_log('server "other" failed: .*other.example')
        # All of them at once, over one connection each.
        digs = [self.lab.start("client", "dig", f"@{OTHER4}", "+short", f"n{i}.{tag}.signed.example")
                for i in range(10) for tag in ("https", "tls")]
        for dig in digs:
            self.assertEqual(dig.wait(), 0)
        self.assertGreaterEqual(unbound.err().count(" A IN"), 20)

    def test_answers_that_say_no(self):
        unbound = self.unbound()
        hairpin = self.dns([REAL])
        for _ in range(2):
            self.assertIn("NXDOMAIN", self.dig("none.signed.example"))
            nothing = self.dig("signed.example", "MX")
            self.assertIn("NOERROR", nothing)
            self.assertIn("ANSWER: 0", nothing)
            self.assertIn("REFUSED", self.dig("never.example"))
        log = unbound.err()
        self.assertEqual(log.count(" none.signed.example. A IN"), 1, log)  # remembered, as SOA says
        self.assertEqual(log.count(" signed.example. MX IN"), 1, log)
        # With the case that the client asks in, and EDNS only for who speaks it.
        self.assertIn("SiGned.ExamPle.", self.dig("SiGned.ExamPle"))
        self.assertNotIn("OPT PSEUDOSECTION", self.dig("+noedns", "signed.example"))
        self.assertIn("udp: 1232", self.dig("+edns=0", "signed.example"))
        self.assertNotIn("dns_malformed", hairpin.counters())


class SocksThatTells:
    """A SOCKS5 server that records what it is asked for and connects to TARGET4 whatever it is."""

    def __init__(self, lab, port=1080):
        self.targets = []
        self.lab = lab
        self.listener = lab.listen(PROXY4, port)
        lab.serve(self.listener, self.one)

    def one(self, sock):
        sock.recv(2 + 255)
        sock.sendall(b"\x05\x00")
        head = sock.recv(4)
        if head[3] == 3:
            name = sock.recv(sock.recv(1)[0]).decode()
        else:
            name = socket.inet_ntop(*((socket.AF_INET, sock.recv(4)) if head[3] == 1 else (socket.AF_INET6, sock.recv(16))))
        port = struct.unpack(">H", sock.recv(2))[0]
        self.targets.append(name)
        far = self.lab.socket("server")
        far.connect((TARGET4, port))
        sock.sendall(b"\x05\x00\x00\x01\0\0\0\0\0\0")

        def copy(a, b):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)

        threading.Thread(target=copy, args=(far, sock), daemon=True).start()
        copy(sock, far)


class Names(DnsTest):
    FAKE = {"type": "fakeip", "tag": "fake", "inet4_range": "198.18.0.0/15", "inet6_range": "fc00::/18"}

    def curl(self, name, *words):
        """As a program does that asks hairpin for names."""
        addresses = self.short(name, *words)
        got = self.lab.run("client", "curl", "-sS", "-m", "5", "--resolve",
                           f"{name}:80:" + (f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]),
                           f"http://{name}/", check=False)
        return addresses[0], got.stdout

    def test_reverse_mapping(self):
        need("curl")
        self.dnsmasq()
        self.lab.nginx()
        proxy = SocksThatTells(self.lab)
        hairpin = self.dns([REAL], dns={"reverse_mapping": True},
                           rules=[HIJACK, {"domain_suffix": "test.example", "outbound": "proxy"}])
        self.assertEqual(self.curl("www.test.example"), (TARGET4, "hello from nginx\n"))
        self.assertEqual(proxy.targets, ["www.test.example"])
        # Another name for the same address: the last one counts.
        self.assertEqual(self.curl("real.example"), (TARGET4, "hello from nginx\n"))
        self.assertEqual(proxy.targets, ["www.test.example"])
        hairpin.wait_log("real.example|:80 via direct opened")

    def test_fake_addresses(self):
        need("curl")
        self.dnsmasq()
        self.lab.nginx()
        proxy = SocksThatTells(self.lab)
        cache = self.lab.folder / "state" / "cache"
        options = dict(
            dns_rules=[{"query_type": ["A", "AAAA"], "server": "fake"}], dns={"final": "real"},
            rules=[HIJACK, {"domain_suffix": "proxied.example", "outbound": "proxy"}],
            extra={"experimental": {"cache_file": {"enabled": True, "path": str(cache), "store_fakeip": True}}})
        hairpin = self.dns([REAL, self.FAKE], **options)
        first, text = self.curl("www.proxied.example")
        self.assertRegex(first, r"^198\.18\.")
        self.assertEqual(text, "hello from nginx\n")
        six, text = self.curl("www.proxied.example", "AAAA")
        self.assertRegex(six, r"^fc00:")
        self.assertEqual(text, "hello from nginx\n")
        self.assertEqual(proxy.targets, ["www.proxied.example"] * 2)
        # Directly: hairpin asks the real server for itself.
        direct, text = self.curl("direct.test.example")
        self.assertRegex(direct, r"^198\.18\.")
        self.assertEqual(text, "hello from nginx\n")
        # Killed, and started again: the same addresses.
        os.kill(hairpin.pid, signal.SIGKILL)
        hairpin.process.popen.wait()
        hairpin = self.dns([REAL, self.FAKE], **options)
        self.assertEqual(self.lab.run("client", "curl", "-sS", "-m", "5", "--resolve",
                                      f"www.proxied.example:80:{first}", "http://www.proxied.example/").stdout,
                         "hello from nginx\n")
        self.assertEqual(proxy.targets[-1], "www.proxied.example")
        self.assertEqual(self.short("direct.test.example"), [direct])
        # An address that stands for nothing.
        got = self.lab.run("client", "curl", "-sS", "-m", "5", "http://198.18.77.77/", check=False)
        self.assertNotEqual(got.returncode, 0)
        hairpin.wait_counters(fake_unknown=1)

    def test_fake_addresses_over_udp(self):
        self.dnsmasq()
        self.lab.answer(self.lab.udp("server", TARGET4, 7777), lambda sock, text, client: sock.sendto(text.upper(), client))
        self.lab.dante(port=1080)
        hosts = self.lab.folder / "resolv.conf"
        hosts.write_text("")
        self.dns([REAL, self.FAKE], dns_rules=[{"query_type": ["A", "AAAA"], "server": "fake"}],
                 dns={"final": "real"}, rules=[HIJACK, {"domain": "echo.test.example", "outbound": "direct"}])
        fake = self.short("echo.test.example")[0]
        client = self.lab.udp("client")
        for text in (b"one", b"two"):
            client.sendto(text, (fake, 7777))
            self.assertEqual(client.recvfrom(100), (text.upper(), (fake, 7777)))

    def test_resolve(self):
        """Names become addresses before rules on addresses are asked."""
        need("curl")
        self.dnsmasq()
        self.lab.nginx()
        proxy = SocksThatTells(self.lab)
        self.dns([REAL, self.FAKE], dns_rules=[{"query_type": ["A", "AAAA"], "server": "fake"}], dns={"final": "real"},
                 rules=[HIJACK, {"action": "resolve", "strategy": "ipv4_only"},
                        {"ip_cidr": "203.0.113.0/24", "outbound": "proxy"}, {"action": "reject"}])
        fake, text = self.curl("www.test.example")
        self.assertRegex(fake, r"^198\.18\.")
        self.assertEqual(text, "hello from nginx\n")
        self.assertEqual(proxy.targets, [TARGET4])


if __name__ == "__main__":
    main()
