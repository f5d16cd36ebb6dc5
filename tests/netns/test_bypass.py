"""What rules leave alone, and the kernel's part in it. Topology: see lab.py."""

import json
import os
import re
import signal
import time

from hostlab import HostTest, REDIRECT
from lab import OTHER4, PROXY4, TARGET4, TARGET6, main, wait_for

HELLO = "hello from nginx\n"
BLOCK = {"type": "block", "tag": "block"}


class Bypass(HostTest):
    def bypassing(self, *rules, outbounds=(BLOCK,), **fields):
        """Nothing is let through, but for what rules bypass."""
        return self.start(*outbounds, route={"rules": list(rules), "final": "block"}, **fields)

    def dig(self, ns, server):
        return self.lab.run(ns, "dig", "+short", "+time=2", "+tries=1", f"@{server}", "a.test.example",
                            check=False).stdout.strip()

    def known(self, table="hairpin-capture-hp0"):
        """Destinations that the kernel leaves alone."""
        listed = self.lab.run("router", "nft", "list", "table", "inet", table).stdout
        found = []
        for elements in re.findall(r"set bypassed\d {[^{}]*elements = {([^}]*)}", listed):
            found += [tuple(part.strip() for part in one.split(" . ")) for one in elements.split(",")]
        return sorted(found)

    def wait_known(self, *destinations):
        wait_for(lambda: self.known() == sorted(destinations), f"the kernel to know {destinations}, not {self.known()}")

    def reload(self, hairpin, rules):
        hairpin.config["route"]["rules"] = rules
        (self.lab.folder / "hairpin.json").write_text(json.dumps(hairpin.config))
        before = hairpin.log().count("reloaded")
        os.kill(hairpin.pid, signal.SIGHUP)
        wait_for(lambda: hairpin.log().count("reloaded") > before, "the reload")

    def test_destinations_go_to_the_kernel(self):
        self.lab.nginx()
        self.lab.dnsmasq()
        self.lab.dnsmasq(TARGET6)
        ssh = {"port": 22, "action": "reject"}
        both = {"ip_cidr": [TARGET4, TARGET6], "action": "bypass"}
        hairpin = self.bypassing(ssh, both, strict_route=True, on_stop="closed")
        for address in (TARGET4, TARGET6):
            self.assertEqual(self.fetch("router", address), HELLO)
            self.assertEqual(self.dig("router", address), TARGET4)
        self.wait_known((TARGET6, "tcp", "80"), (TARGET6, "udp", "53"), (TARGET4, "tcp", "80"), (TARGET4, "udp", "53"))
        known = self.known()
        # From now on nothing of it reaches us, and the wall lets it through.
        before = hairpin.counters()
        self.assertEqual(before["bypassed"], 4)
        self.assertEqual(before.get("tcp_opened", 0), 0 if REDIRECT else 2)
        for ns in ("router", "client"):
            for address in (TARGET4, TARGET6):
                self.assertEqual(self.fetch(ns, address), HELLO)
                self.assertEqual(self.dig(ns, address), TARGET4)
        after = hairpin.counters()
        for name in ("bypassed", "udp_opened"):
            self.assertEqual(after[name], before[name], name)
        self.assertEqual(after.get("tcp_opened"), before.get("tcp_opened"))
        # Another port of the same address is another destination; nothing but these is let through.
        self.assertNotIn("hello", self.fetch("router", TARGET4, port=22))
        self.assertNotIn("hello", self.fetch("router", OTHER4))
        # Another table of ours, because somebody has removed it, or the network has changed, knows them, too.
        self.lab.ip("router", "link add br7 type bridge")
        self.lab.ip("router", "addr add 10.77.0.1/24 dev br7")
        self.lab.ip("router", "link set br7 up")
        hairpin.wait_log("followed a change of the network")
        self.assertEqual(self.known(), known)
        # Other rules: all is found anew. A connection that runs stays where it is.
        runs = self.lab.socket("router")
        runs.connect((TARGET4, 80))
        self.reload(hairpin, [ssh])
        self.assertEqual(self.known(), [])
        runs.sendall(f"HEAD / HTTP/1.1\r\nHost: {TARGET4}\r\n\r\n".encode())
        self.assertIn(b"200 OK", runs.recv(4096))
        self.assertNotIn("hello", self.fetch("router", TARGET4))
        self.assertIn("refused", self.dig("client", TARGET6))
        self.reload(hairpin, [ssh, both])
        self.assertEqual(self.fetch("client", TARGET4), HELLO)
        self.wait_known((TARGET4, "tcp", "80"))
        runs.sendall(f"GET / HTTP/1.1\r\nHost: {TARGET4}\r\nConnection: close\r\n\r\n".encode())
        self.assertIn(b"hello from nginx", b"".join(iter(lambda: runs.recv(4096), b"")))

    def test_a_first_rule_needs_a_restart(self):
        """Who judges this host's traffic cannot change under running connections."""
        self.lab.nginx()
        hairpin = self.bypassing({"port": 22, "action": "reject"})
        hairpin.config["route"]["rules"].append({"ip_cidr": TARGET4, "action": "bypass"})
        if REDIRECT:  # nftables judge anyway
            return self.reload(hairpin, hairpin.config["route"]["rules"])
        (self.lab.folder / "hairpin.json").write_text(json.dumps(hairpin.config))
        os.kill(hairpin.pid, signal.SIGHUP)
        hairpin.wait_log("not reloaded: .*rules that bypass.* cannot be changed while running")

    def test_one_by_one_where_rules_ask_for_more(self):
        self.lab.nginx()
        nobody = ("setpriv", "--reuid", "65534", "--clear-groups")
        hairpin = self.bypassing({"user_id": 65534, "action": "reject"}, {"ip_cidr": TARGET4, "action": "bypass"})
        hairpin.wait_log(r"route.rules\[1\].*one by one.*route.rules\[0\]")
        self.assertEqual(self.fetch("router", TARGET4), HELLO)
        time.sleep(0.6)  # longer than the kernel would be told after
        self.assertNotIn("hello", self.fetch("router", TARGET4, *nobody))
        self.assertEqual(self.fetch("client", TARGET4), HELLO)
        hairpin.wait_counters(bypassed=2)
        self.assertEqual(self.known(), [])

    def test_through_an_outbound_until_the_kernel_knows(self):
        self.lab.nginx()
        proxy = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1081}
        hairpin = self.bypassing({"ip_cidr": TARGET4, "action": "bypass", "outbound": "proxy"},
                                 outbounds=(BLOCK, proxy))
        # There is no such proxy. A redirected connection does not ask for one: it is given back to the kernel.
        (self.assertIn if REDIRECT else self.assertNotIn)("hello", self.fetch("client", TARGET4))
        self.wait_known((TARGET4, "tcp", "80"))
        self.assertEqual(self.fetch("client", TARGET4), HELLO)
        self.assertEqual(hairpin.counters().get("tcp_opened", 0), 0)

    def test_an_address_that_stands_for_a_name_is_not_the_destination(self):
        self.lab.nginx()
        self.lab.dnsmasq()
        dns = {"servers": [{"type": "udp", "tag": "real", "server": TARGET4},
                           {"type": "fakeip", "tag": "fake", "inet4_range": "198.18.0.0/15"}],
               "rules": [{"query_type": ["A"], "server": "fake"}], "final": "real"}
        redirect = {"auto_redirect": True} if REDIRECT else {}
        hairpin = self.lab.hairpin(BLOCK, {"type": "direct", "tag": "direct", "domain_resolver": "real"}, capture=False,
                                   extra={"dns": dns}, tun={"auto_route": True, **redirect},
                                   route={"rules": [{"port": 53, "action": "hijack-dns"},
                                                    {"port": 80, "action": "bypass"}], "final": "block"})
        fake = self.lab.run("client", "dig", "+short", f"@{OTHER4}", "a.test.example").stdout.strip()
        self.assertTrue(fake.startswith("198.18."), fake)
        for _ in range(2):
            self.assertEqual(self.fetch("client", fake), HELLO)
            time.sleep(0.6)
        self.assertEqual(self.known(), [])
        hairpin.wait_counters(bypassed=2)


if __name__ == "__main__":
    main()
