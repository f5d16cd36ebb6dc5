"""Proxies that fail, in every way they can: the client gets its end promptly, the log has one line with
flow and cause, and other flows go on. Topology: see lab.py."""

import errno
import socket
import threading
import time

from lab import CLIENT4, LabTest, PROXY4, TARGET4, main, wait_for

SOCKS = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1080, "connect_timeout": "1s"}
HTTP = {"type": "http", "tag": "proxy", "server": PROXY4, "server_port": 8080, "connect_timeout": "1s"}
PASSWORD = {"username": "joe", "password": "s3cret"}
GOOD_REPLY = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


class Proxy:
    """Plays a script with each connection: what to wait for, what to send, when to close."""

    def __init__(self, lab, port, script):
        self.listener = lab.listen(PROXY4, port)
        self.script = script
        self.done = threading.Event()
        lab.serve(self.listener, self.play)

    def play(self, sock):
        sock.settimeout(5)
        try:
            self.script(sock)
        except OSError:
            pass
        finally:
            sock.close()


class Faults(LabTest):
    def check(self, outbound, cause, script=None, seconds=1.0, outcome=ConnectionRefusedError):
        """`outcome` is what connect() says: the client is not told of a connection that there is not."""
        if script:
            Proxy(self.lab, outbound["server_port"], script)
        self.lab.nginx()
        hairpin = self.lab.hairpin({**outbound}, {"type": "direct", "tag": "direct"},
                                   rules=[{"port": 80, "outbound": "direct"}])
        other = self.lab.socket("client")  # a flow that is up before, and must not notice
        other.connect((TARGET4, 80))
        client = self.lab.socket("client", timeout=2)
        start = time.monotonic()
        with self.assertRaises(outcome) as failed:
            client.connect((TARGET4, 4242))
        if outcome is OSError:
            self.assertEqual(failed.exception.errno, errno.EHOSTUNREACH)
        took = time.monotonic() - start
        hairpin.wait_log(rf"warning tcp {CLIENT4}:\d+ -> {TARGET4}:4242 via proxy failed: .*{cause}")
        # Once for each attempt. On a busy machine the kernel may still hold the client's socket when the ICMP error
        # arrives, and asks again at once.
        told = hairpin.log().count(f"-> {TARGET4}:4242 via proxy failed")
        self.assertIn(told, (1, 2) if outcome is OSError else (1,))
        self.assertLess(took, seconds + told - 1)
        other.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn(b"200 OK", other.recv(1000))

    def test_proxy_is_down(self):
        self.check(SOCKS, "proxy: connect 198.51.100.2:1080: Connection refused")

    def test_proxy_is_silent(self):
        # As from a dead host. The client's kernel asks again after 1 s and 3 s: the time is up between these.
        self.check({**SOCKS, "connect_timeout": "1500ms"}, "handshake with the proxy: Connection timed out",
                   lambda s: s.recv(100) and s.recv(100), 2.5, TimeoutError)

    def test_proxy_closes_at_once(self):
        self.check(SOCKS, "the proxy closed the connection in the handshake|Connection reset", lambda s: None)

    def test_proxy_closes_after_the_greeting(self):
        self.check(SOCKS, "the proxy closed the connection in the handshake",
                   lambda s: (s.recv(3), s.sendall(b"\x05\x00"), s.recv(100)))

    def test_proxy_closes_within_the_reply(self):
        self.check(SOCKS, "the proxy closed the connection in the handshake",
                   lambda s: (s.recv(3), s.sendall(b"\x05\x00"), s.recv(100), s.sendall(GOOD_REPLY[:6])))

    def test_proxy_sends_garbage(self):
        self.check(SOCKS, "the proxy does not speak SOCKS5", lambda s: (s.recv(3), s.sendall(b"220 smtp ready\r\n")))

    def test_proxy_sends_a_reply_that_lies(self):
        self.check(SOCKS, "unknown address type 99",
                   lambda s: (s.recv(3), s.sendall(b"\x05\x00"), s.recv(100), s.sendall(b"\x05\x00\x00\x63" + bytes(9))))

    def test_wrong_password(self):
        self.lab.microsocks("-u", "joe", "-P", "other")
        self.check({**SOCKS, **PASSWORD}, "the proxy refused the user name or password", outcome=OSError)

    def test_password_missing(self):
        self.lab.microsocks("-u", "joe", "-P", "other")
        self.check(SOCKS, "wants authentication; give username and password", outcome=OSError)

    def test_target_is_refused(self):
        self.lab.microsocks()
        self.check(SOCKS, "connection refused")

    def test_target_is_silent(self):
        self.check(SOCKS, "host unreachable",
                   lambda s: (s.recv(3), s.sendall(b"\x05\x00"), s.recv(100), time.sleep(0.5),
                              s.sendall(b"\x05\x04\x00\x01" + bytes(6))), 2, OSError)

    def test_http_proxy_refuses(self):
        self.lab.tinyproxy(port=8080, auth=("joe", "s3cret"))
        self.check(HTTP, "HTTP CONNECT 203.0.113.10:4242: 407|401", outcome=OSError)

    def test_http_wrong_password(self):
        self.lab.tinyproxy(port=8080, auth=("joe", "other"))
        self.check({**HTTP, **PASSWORD}, "HTTP CONNECT 203.0.113.10:4242: 40[17]")

    def test_http_proxy_sends_garbage(self):
        self.check(HTTP, "no HTTP response", lambda s: (s.recv(100), s.sendall(b"SSH-2.0-OpenSSH_9\r\n")))

    def test_http_proxy_sends_an_endless_head(self):
        self.check(HTTP, "no HTTP response", lambda s: (s.recv(100), s.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20000)))

    def test_http_proxy_closes(self):
        self.check(HTTP, "the proxy closed the connection", lambda s: (s.recv(100), s.sendall(b"HTTP/1.1 200")))

    def test_the_name_of_the_proxy_is_unknown(self):
        # No name server exists here; the answer must come all the same, and only this flow may wait.
        self.check({**SOCKS, "server": "proxy.invalid"}, "resolve proxy.invalid", None, 30)

    def test_proxy_answers_one_byte_at_a_time(self):
        def slowly(sock, data):
            for i in range(len(data)):
                sock.sendall(data[i:i + 1])
                time.sleep(0.01)

        def script(sock):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.recv(4)
            slowly(sock, b"\x05\x02")
            self.assertEqual(sock.recv(100), b"\x01\x03joe\x06s3cret")
            slowly(sock, b"\x01\x00")
            sock.recv(100)
            slowly(sock, GOOD_REPLY + b"hello")
            sock.recv(100)

        Proxy(self.lab, 1080, script)
        Proxy(self.lab, 8080, lambda s: (s.recv(1000), slowly(s, b"HTTP/1.1 200 Yes\r\nA: b\r\n\r\nhello"), s.recv(9)))
        for outbound in ({**SOCKS, **PASSWORD}, HTTP):
            hairpin = self.lab.hairpin(outbound)
            client = self.lab.socket("client")
            client.connect((TARGET4, 4242))
            got = b""
            while len(got) < 5:
                got += client.recv(10)
            self.assertEqual(got, b"hello")
            client.close()
            hairpin.stop()

    def test_the_client_leaves_while_the_proxy_thinks(self):
        gone = threading.Event()
        Proxy(self.lab, 1080, lambda s: (s.recv(3), s.sendall(b"\x05\x00"), s.recv(100), gone.wait(5),
                                         s.sendall(GOOD_REPLY), s.recv(10)))
        hairpin = self.lab.hairpin({**SOCKS, "connect_timeout": "5s"})
        before = hairpin.descriptors()
        client = self.lab.socket("client", timeout=0)
        self.assertEqual(client.connect_ex((TARGET4, 4242)), errno.EINPROGRESS)
        wait_for(lambda: hairpin.descriptors() == before + 1, "the proxy to be asked")
        client.close()
        gone.set()
        wait_for(lambda: hairpin.descriptors() == before, "the connection that nobody takes to be closed")
        hairpin.wait_counters(tcp_unclaimed=1)


if __name__ == "__main__":
    main()
