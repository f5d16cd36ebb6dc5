"""Ways out: proxies with TLS, through other proxies, and groups of them."""

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


if __name__ == "__main__":
    main()
