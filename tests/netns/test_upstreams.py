"""Servers for names: what they are told, what they say, and what happens when there are others."""

import json
import os
import re
import signal
import socket
import struct
import threading
import time

from lab import OTHER4, TARGET4, main, need, wait_for
from test_dns import REAL, DnsTest, answer_to, query, question_of

SERVFAIL, REFUSED = 2, 5


def subnet_of(message):
    """The network that a question is asked for, of its last record, which is OPT with one option at most."""
    end = question_of(message)[2]
    rest = message[12 + len(end):]
    assert rest[:3] == b"\0\0\x29", rest
    if struct.unpack(">H", rest[9:11])[0] == 0:
        return None
    code, size, family, bits, scope = struct.unpack(">HHHBB", rest[11:19])
    assert (code, size + 15, scope) == (8, len(rest), 0), rest
    length = 4 if family == 1 else 16
    address = socket.inet_ntop(socket.AF_INET if family == 1 else socket.AF_INET6, rest[19:].ljust(length, b"\0"))
    return f"{address}/{bits}"


class Questions(DnsTest):
    def test_headers_of_https(self):
        """The server sees what the configuration says, also where the program has its own word."""
        seen = []

        def play(sock):
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(65536)
            head, message = head.split(b"\r\n\r\n", 1)
            fields = {name.lower(): value for name, value in re.findall(r"(?m)^([\w-]+): (.*?)\r?$", head.decode())}
            while len(message) < int(fields["content-length"]):
                message += sock.recv(65536)
            seen.append(fields)
            answer = answer_to(message, ["192.0.2.77"])
            sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/dns-message\r\n"
                         + f"Content-Length: {len(answer)}\r\n\r\n".encode() + answer)
            sock.close()

        need("dig")
        self.lab.serve(self.lab.listen(TARGET4, 8080), play)
        certificate = self.lab.certificate(f"IP:{TARGET4}")
        self.lab.nginx(tls=certificate, more=f"""
            location = /dns-query {{ proxy_pass http://{TARGET4}:8080; proxy_set_header X-Host $host; }}""")
        self.dns([{"type": "https", "tag": "far", "server": TARGET4, "tls": {"certificate_path": str(certificate[1])},
                   "headers": {"X-Token": "secret", "User-Agent": "test/1", "Accept": "*/*", "Host": "dns.example"}}])
        self.assertEqual(self.short("a.example"), ["192.0.2.77"])
        wanted = {"x-token": "secret", "user-agent": "test/1", "accept": "*/*", "x-host": "dns.example",
                  "content-type": "application/dns-message"}
        self.assertEqual([{name: fields.get(name) for name in wanted} for fields in seen], [wanted])

    def test_for_a_network(self):
        """Servers are told which; no answer for one is given for another."""
        asked = []

        def near(sock, message, client):
            network = subnet_of(message)
            asked.append((question_of(message)[0], network))
            address = {None: "192.0.2.1", "198.51.100.0/24": "192.0.2.2", "203.0.113.0/25": "192.0.2.3",
                       "2001:db8::/32": "192.0.2.4"}[network]
            sock.sendto(answer_to(message, [address]), client)

        need("dig")
        server = self.python_server(near)
        hairpin = self.dns([server], dns={"client_subnet": "198.51.100.7/24"}, dns_rules=[
            {"network": "tcp", "server": "python", "client_subnet": "203.0.113.0/25"},
            {"domain": "six.example", "action": "route-options", "client_subnet": "2001:db8::/32"}])
        for _ in range(2):
            self.assertEqual(self.short("a.example"), ["192.0.2.2"])
            self.assertEqual(self.short("+tcp", "a.example"), ["192.0.2.3"])
            self.assertEqual(self.short("six.example"), ["192.0.2.4"])
            # What a client says of itself goes no further.
            self.assertEqual(self.short("+subnet=192.0.2.0/24", "a.example"), ["192.0.2.2"])
        self.assertEqual(sorted(asked), [("a.example", "198.51.100.0/24"), ("a.example", "203.0.113.0/25"),
                                         ("six.example", "2001:db8::/32")])
        hairpin.stop()
        self.dns([server])
        self.assertEqual(self.short("a.example"), ["192.0.2.1"])

    def test_a_rule_that_refuses_too_often_turns_silent(self):
        self.dns([REAL], dns_rules=[{"domain": "often.example", "action": "reject"},
                                    {"domain": "always.example", "action": "reject", "no_drop": True}])
        for name, told in (("often.example", 50), ("always.example", 60)):
            client = self.lab.udp("client", timeout=10)
            for i in range(60):
                client.sendto(query(name, ident=i), (OTHER4, 53))
            answers = set()
            try:
                while len(answers) < 60:
                    if len(answers) == told:
                        client.settimeout(1)  # for one more than there should be
                    message = client.recv(4096)
                    self.assertEqual(message[3] & 15, REFUSED)
                    answers.add(message[:2])
            except TimeoutError:
                pass
            self.assertEqual(len(answers), told)  # one client endpoint, one worker


class Failures(DnsTest):
    def test_what_a_server_refuses(self):
        """Is passed on as it is, and remembered for a second and not longer."""
        asked = []

        def refuse(sock, message, client):
            name = question_of(message)[0]
            asked.append(name)
            sock.sendto(answer_to(message, rcode=SERVFAIL if name == "fails.example" else REFUSED), client)

        self.dns([self.python_server(refuse)])
        client = self.lab.udp("client")

        def ask(name):
            client.sendto(query(name), (OTHER4, 53))
            return client.recv(4096)[3] & 15

        for name, rcode in (("fails.example", SERVFAIL), ("refused.example", REFUSED)):
            start = time.monotonic()
            self.assertEqual([ask(name) for _ in range(40)], [rcode] * 40)
            # Seconds may have passed in between.
            self.assertLessEqual(asked.count(name), 2 + int(time.monotonic() - start))
            time.sleep(1.1)
            before = asked.count(name)
            self.assertEqual(ask(name), rcode)
            self.assertEqual(asked.count(name), before + 1)


class Local(DnsTest):
    def replace(self, name, text):
        fresh = self.etc / (name + ".fresh")
        fresh.write_text(text)
        fresh.rename(self.etc / name)

    def test_the_files_of_the_system(self):
        """/etc/hosts, the servers of /etc/resolv.conf; and both again when they have changed."""
        self.dnsmasq()
        other = self.dnsmasq("--address=/second.example/192.0.2.99", address=OTHER4)
        self.etc = self.lab.folder / "etc"
        self.etc.mkdir()
        self.replace("hosts", "192.0.2.55 here.example here # a word\n2001:db8::55 here.example\nnonsense here.example\n")
        self.replace("resolv.conf", f"# servers\nsearch test.example\noptions ndots:1\nnameserver {TARGET4}\n")
        # A folder of the test's own in the place of /etc, for hairpin alone.
        hairpin = self.dns([{"type": "local", "tag": "system"}],
                           wrap=("unshare", "-m", "sh", "-c", f'mount --bind {self.etc} /etc && exec "$@"', "sh"))
        self.assertEqual(self.short("here.example"), ["192.0.2.55"])
        self.assertEqual(self.short("HERE.example", "AAAA"), ["2001:db8::55"])
        self.assertEqual(self.short("here"), ["192.0.2.55"])
        self.assertEqual(self.short("www.test.example"), [TARGET4])
        # Whole names are asked for: adding domains is the client's business.
        self.assertEqual(self.short("www"), [])
        self.assertEqual(self.asked(other, "www.test.example"), 0)
        self.replace("resolv.conf", f"nameserver {OTHER4}\n")
        self.assertEqual(self.short("second.example"), ["192.0.2.99"])
        (self.etc / "hosts").write_text("192.0.2.56 here.example\n")  # in place
        self.assertEqual(self.short("here.example"), ["192.0.2.56"])
        # A server that is not there is passed over for the next.
        self.replace("resolv.conf", f"nameserver 203.0.113.99\nnameserver {OTHER4}\n")
        self.assertEqual(self.short("a.second.example"), ["192.0.2.99"])
        (self.etc / "resolv.conf").unlink()
        self.assertIn("SERVFAIL", self.dig("b.second.example"))
        hairpin.wait_log("/etc/resolv.conf names no server")
        self.assertEqual(self.short("here.example"), ["192.0.2.56"])


class Reload(DnsTest):
    def test_other_servers_while_questions_come(self):
        """Each question is answered, by the servers of before or of now; those of a new client by those of now."""
        addresses = {"first": "192.0.2.71", "second": "192.0.2.72"}
        servers = [{**self.python_server(lambda sock, message, client, address=address: sock.sendto(
            answer_to(message, [address]), client), port=port), "tag": tag}
            for port, (tag, address) in enumerate(addresses.items(), 5353)]
        hairpin = self.dns([servers[0]], level="info")
        stop, failures, answered = threading.Event(), [], []
        self.addCleanup(stop.set)

        def load(number):
            # Half of them keep their socket, as some resolvers do.
            sock, count = self.lab.udp("client", timeout=5), 0
            while not stop.is_set():
                count += 1
                if number % 2:
                    sock.close()
                    sock = self.lab.udp("client", timeout=5)
                name = f"n{count}-{number}.example" if count % 3 else "same.example"
                try:
                    sock.sendto(query(name, ident=count & 0xffff), (OTHER4, 53))
                    message = sock.recv(4096)
                except OSError as failure:
                    failures.append((name, failure))
                    continue
                good = struct.unpack(">H", message[:2])[0] == count & 0xffff and question_of(message)[0] == name
                if not good or socket.inet_ntoa(message[-4:]) not in addresses.values():
                    failures.append((name, message))
                answered.append(name)

        threads = [threading.Thread(target=load, args=(n,), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        path = self.lab.folder / "hairpin.json"
        config = json.loads(path.read_text())
        for reloads, server in enumerate([servers[1], servers[0], servers[1]], 1):
            time.sleep(0.3)
            config["dns"]["servers"] = [server]
            path.write_text(json.dumps(config))
            os.kill(hairpin.pid, signal.SIGHUP)
            wait_for(lambda: hairpin.log().count(" reloaded") == reloads, "reloaded")

            def told(name):
                fresh = self.lab.udp("client")
                fresh.sendto(query(name), (OTHER4, 53))
                return socket.inet_ntoa(fresh.recv(4096)[-4:])

            for name in ("same.example", f"new{reloads}.example"):
                wait_for(lambda: {told(name) for _ in range(10)} == {addresses[server["tag"]]},
                         "all workers ask the new server")
        wait_for(lambda: failures or len(answered) > 200, "answers")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    main()
