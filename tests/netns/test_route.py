"""auto_route: hairpin sets the host's routing up, and takes it away again. Topology: see lab.py."""

import json
import os
import re
import signal
import socket
import time

from hostlab import HostTest, REDIRECT
from lab import OTHER4, PROXY4, PROXY6, ROUTER4, ROUTER6, TARGET4, TARGET6, TUN4, main, wait_for


class AutoRoute(HostTest):
    def test_host_and_clients(self):
        self.lab.nginx()
        hairpin = self.start()
        self.check(hairpin, 4, *[(ns, address) for ns in ("router", "client") for address in (TARGET4, TARGET6)])
        self.assertEqual(hairpin.stop(), 0)
        self.assertEqual(self.routing(), self.before)
        self.assertEqual(self.fetch("router", TARGET4), "hello from nginx\n")

    def test_known_networks_are_reached_directly(self):
        self.lab.nginx()
        hairpin = self.start()
        self.check(hairpin, 0, ("router", PROXY4), ("router", PROXY6), ("client", PROXY4))

    def test_answers_to_what_came_from_outside(self):
        """Services of this host, asked from the server by way of the default route."""
        hairpin = self.start()
        for address, source, family in ((ROUTER4, TARGET4, socket.AF_INET),):
            listener = self.lab.listen(address, 8080, ns="router")
            asker = self.lab.socket("server", family)
            asker.bind((source, 0))
            asker.connect((address, 8080))
            served, _ = listener.accept()
            served.sendall(b"from the host")
            self.assertEqual(asker.recv(100), b"from the host")
        self.assertEqual(self.captured(hairpin), 0)

    def test_connections_that_are_there_already(self):
        listener = self.lab.listen(TARGET4, 9000)

        def connect(ns):
            sock = self.lab.socket(ns, timeout=5)
            sock.connect((TARGET4, 9000))
            return sock, listener.accept()[0]

        def goes_on(pair, expected):
            try:
                pair[0].sendall(b"still here")
                pair[1].settimeout(10 if expected else 0.5)
                return pair[1].recv(100) == b"still here"
            except OSError:
                return False

        for strict in (False, True):
            own, others = connect("router"), connect("client")
            hairpin = self.start(strict_route=strict)
            self.assertEqual([goes_on(own, not strict), goes_on(others, not strict)], [not strict] * 2)
            hairpin.stop()

    def test_chosen_addresses(self):
        self.lab.nginx()
        hairpin = self.start(route_address=["203.0.113.0/24"], route_exclude_address=[f"{OTHER4}/32"])
        self.check(hairpin, 1, ("router", TARGET4), ("router", OTHER4), ("router", TARGET6))

    def test_named_addresses_go_before_routes_of_the_host(self):
        self.lab.nginx()
        hairpin = self.start(route_address=["198.51.100.2/32"])
        self.check(hairpin, 1, ("client", PROXY4))

    def test_users(self):
        self.lab.nginx()
        nobody = ("setpriv", "--reuid", "65534", "--clear-groups")
        hairpin = self.start(exclude_uid=65534)
        self.check(hairpin, 2, ("router", TARGET4), ("router", TARGET6), ("router", TARGET4, *nobody),
                   ("router", TARGET6, *nobody))
        hairpin.stop()
        hairpin = self.start(include_uid_range="60000:")
        self.check(hairpin, 3, ("router", TARGET4), ("router", TARGET4, *nobody), ("router", TARGET6, *nobody),
                   ("client", TARGET4))

    def test_interfaces(self):
        self.lab.nginx()
        hairpin = self.start(exclude_interface="r0")
        self.check(hairpin, 1, ("router", TARGET4), ("client", TARGET4))
        hairpin.stop()
        hairpin = self.start(include_interface="r0")
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET4), ("client", TARGET6))

    def test_a_family_that_is_not_carried(self):
        self.lab.nginx()
        hairpin = self.start(address=[f"{TUN4}/30"])
        self.check(hairpin, 1, ("router", TARGET4), ("router", TARGET6))
        hairpin.stop()
        hairpin = self.start(address=[f"{TUN4}/30"], strict_route=True)
        self.check(hairpin, 1, ("router", TARGET4), ("router", PROXY6))
        for ns, *wrap in (("router",), ("client",)):
            start = time.monotonic()
            self.assertNotIn("hello", self.fetch(ns, TARGET6, *wrap))
            self.assertLess(time.monotonic() - start, 3, "a refusal, not silence")
        # No way around: neither an address nor a device that is bound to.
        for option in (ROUTER6, "r1"):
            self.assertNotIn("hello", self.fetch("router", TARGET6, "env", f"HP={option}", "sh", "-c",
                                                 'shift; exec curl -m 3 -sS --interface $HP "$@"', "sh"))

    def test_a_killed_one_is_cleaned_up_after(self):
        self.lab.nginx()
        for _ in range(3):
            hairpin = self.start()
            self.assertEqual(self.fetch("router", TARGET4), "hello from nginx\n")
            os.kill(hairpin.pid, signal.SIGKILL)
            # Its routes went with the interface: the rules find nothing, and the host goes its usual way.
            wait_for(lambda: "hp0" not in self.lab.run("router", "ip", "link").stdout, "the interface to go")
            self.assertEqual(self.fetch("router", TARGET4), "hello from nginx\n")
        hairpin = self.start()
        self.check(hairpin, 1, ("router", TARGET4))
        hairpin.stop()
        self.assertEqual(self.routing(), self.before)

    def test_two_beside_each_other(self):
        self.lab.nginx()
        first = self.start()
        before = self.everything()
        second = {"interface_name": "hp1", "address": ["172.19.0.1/30"], "iproute2_table_index": 2023}
        with self.assertRaisesRegex(AssertionError, "iproute2_rule_index"):
            self.start(**second)
        self.assertEqual(self.everything(), before)
        self.check(first, 1, ("router", TARGET4))
        other = self.start(**second, iproute2_rule_index=9100, include_interface="r0", auto_redirect=False)
        self.check(first, 1, ("router", TARGET4))
        other.stop()
        self.assertEqual(self.everything(), before)

    def test_elsewhere(self):
        """--netns: what is set up there is taken back there, and nothing here is touched."""
        self.lab.box_namespace()
        self.lab.sysctl("box", "net.ipv4.ip_forward=0")
        here = self.everything()
        there = [self.lab.ip("box", f"{family} rule show").stdout for family in ("-4", "-6")]
        path = self.lab.folder / "elsewhere.json"
        path.write_text(json.dumps({"log": {"level": "debug"}, "inbounds": [{
            "type": "tun", "interface_name": "hp0", "address": [f"{TUN4}/30"], "auto_route": True, "gateway": True}]}))
        hairpin = self.lab.start("router", os.environ["HAIRPIN"], "run", "-c", path, "--netns", self.lab.box.pid)
        wait_for(lambda: " up: " in hairpin.err(), "hairpin")
        forwarding = lambda ns: self.lab.run(ns, "sysctl", "-n", "net.ipv4.ip_forward").stdout.strip()
        self.assertEqual([forwarding("box"), forwarding("router")], ["1", "1"])
        self.lab.nginx()
        self.assertEqual(self.fetch("box", TARGET4), "hello from nginx\n")
        self.assertEqual(hairpin.stop(), 0)
        self.assertEqual([forwarding("box"), forwarding("router")], ["0", "1"])
        self.assertEqual([self.lab.ip("box", f"{family} rule show").stdout for family in ("-4", "-6")], there)
        self.assertEqual(self.everything(), here)

    def test_what_is_taken_is_not_touched(self):
        self.lab.ip("router", "rule add pref 9004 lookup 77 protocol static")
        before = self.routing()
        for fields, word in (({}, "iproute2_rule_index"), ({"iproute2_rule_index": 9100}, None)):
            hairpin = self.lab.start("router", os.environ["HAIRPIN"], "plan", "--auto-route")
            self.assertEqual(hairpin.wait(), 0)
            config = {"capture": False, "tun": {"auto_route": True, **fields}}
            if word is None:
                self.lab.hairpin(**config).stop()
            else:
                with self.assertRaisesRegex(AssertionError, word):
                    self.lab.hairpin(**config)
            self.assertEqual(self.routing(), before)

    def test_the_kernel_lists_what_we_plan(self):
        fields = {"auto_route": True, "strict_route": True, "exclude_uid": [7, 9], "exclude_interface": "r0",
                  "route_exclude_address": ["192.0.2.0/25", "10.0.0.0/8"], "exclude_mac_address": "02:00:5e:00:53:01"}
        hairpin = self.start(**fields)
        (self.lab.folder / "config.json").write_text(json.dumps(hairpin.config))
        plan = self.lab.run("router", os.environ["HAIRPIN"], "plan", "-c", self.lab.folder / "config.json").stdout
        # What is printed can be typed: the same rules once more, in a namespace that has none.
        planned = [line for line in plan.splitlines() if " rule add " in line]
        for line in planned:
            self.lab.ip("client", line.removeprefix("ip "))
        found = 0
        for family in ("-4", "-6"):
            listed = [self.lab.ip(ns, f"{family} rule show").stdout.replace(" [detached]", "").splitlines()
                      for ns in ("router", "client")]
            ours, typed = [[line for line in lines if "proto 72" in line and not line.startswith(("90:", "91:"))]
                           for lines in listed]
            self.assertEqual(ours, typed)
            found += len(ours)
        self.assertEqual(found, len(planned))
        # The tables: what nft prints, and what it takes.
        text = plan[plan.index("table inet"):]
        loaded = self.lab.run("router", "nft", "list", "table", "inet", "hairpin-capture-hp0").stdout
        if REDIRECT:
            # Where the kernel has it from xtables, nft prints something else, or nothing.
            queue = r"queue flags bypass to [\d-]+"
            self.assertRegex(text, queue)
            if not re.search(queue, loaded):
                text = re.sub(queue, "", text)
                loaded = loaded.replace('xt target "NFQUEUE"', "")
        (self.lab.folder / "plan.nft").write_text(text)
        self.lab.run("client", "nft", "-c", "-f", self.lab.folder / "plan.nft")
        ports = re.findall(r"redirect to :(\d+)", loaded)
        words = [re.sub(r"# progname .*|packets \d+ bytes \d+", "", one).split() for one in (text, loaded)]
        if REDIRECT:
            self.assertEqual(len(ports), 4)
            words = [re.sub(r"redirect to :\d+", "redirect", " ".join(one)).split() for one in words]
        self.assertEqual(*words)


if __name__ == "__main__":
    main()
