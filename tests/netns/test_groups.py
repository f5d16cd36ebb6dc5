"""Ways out: proxies with TLS, through other proxies, and groups of them."""

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import time
import unittest

from lab import HAIRPIN, OTHER4, PROXY4, PROXY6, TARGET4, TARGET6, LabTest, main, need, wait_for

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
        wait_for(lambda: hairpin.descriptors() == descriptors, "nothing is left open")

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
        self.assertEqual(hairpin.counters()["udp_rejected"], 1)


if __name__ == "__main__":
    main()
