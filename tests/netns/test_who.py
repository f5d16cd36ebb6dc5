"""Whose traffic is captured, and whose is not: proxies on the same host, bypass, control groups, MAC addresses; and what
hairpin says of a host. Topology: see lab.py.
"""

import contextlib
import json
import os
import pathlib
import signal
import time
import unittest

from hostlab import HostTest, REDIRECT
from lab import OTHER4, PROXY4, ROUTER4, TARGET4, TARGET6, TUN4, main, need, sh, wait_for

HAIRPIN = os.path.abspath(os.environ.get("HAIRPIN", ""))
LOCAL = {"type": "socks", "tag": "local", "server": "127.0.0.1", "server_port": 1080}


def cgroup_root():
    for line in open("/proc/self/mountinfo"):
        if " - cgroup2 " in line:
            return pathlib.Path(line.split()[4])
    raise RuntimeError("no cgroup2 is mounted: these tests need it")


class WhoTest(HostTest):
    """`ip netns exec` hides control groups (it mounts /sys anew): nsenter does not."""

    def enter(self, *words):
        return ["nsenter", f"--net=/run/netns/{self.lab.name('router')}", *words]

    def start(self, *outbounds, **fields):
        return super().start(*outbounds, **fields)

    def group(self, name):
        path = cgroup_root() / f"{self.lab.prefix}-{name}"
        path.mkdir()

        def remove():
            for process in (path / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            wait_for(lambda: not (path / "cgroup.procs").read_text(), "an empty group")
            path.rmdir()

        self.addCleanup(remove)
        return path

    def proxy(self, *wrap, user=None, port=1080):
        """microsocks on the router itself."""
        need("microsocks")
        words = ["microsocks", "-i", "127.0.0.1", "-p", str(port)]
        if user:
            words = ["setpriv", "--reuid", str(user), "--clear-groups", *words]
        process = self.lab.start(None, *self.enter(*wrap, *words))
        self.lab.wait_listening("router", port)
        return process

    def run_hairpin(self, *outbounds, **fields):
        self.lab.enter_by_nsenter = True
        try:
            return self.start(*outbounds, **fields)
        finally:
            self.lab.enter_by_nsenter = False

    def hairpin(self, *words, check=True):
        return sh(*self.enter(HAIRPIN, *words), check=check)


class LocalProxy(WhoTest):
    def test_with_a_user_of_its_own(self):
        self.lab.nginx()
        self.proxy(user=4711)
        hairpin = self.run_hairpin(LOCAL)
        self.assertIn("its user 4711 is not captured", hairpin.log())
        self.check(hairpin, 4, *[(ns, address) for ns in ("router", "client") for address in (TARGET4, TARGET6)])
        # Whoever else is that user is not captured either.
        self.check(hairpin, 0, ("router", TARGET4, "setpriv", "--reuid", "4711", "--clear-groups"))

    def test_in_a_control_group_of_its_own(self):
        self.lab.nginx()
        group = self.group("proxy")
        move = ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
        proxy = self.proxy(*move)
        hairpin = self.run_hairpin(LOCAL)
        self.assertIn(f"its control group {group.name} is not captured", hairpin.log())
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET6))
        # Started again, in a new group of the same name, as a service manager does it.
        proxy.stop()
        group.rmdir()
        group.mkdir()
        self.proxy(*move)
        hairpin.wait_log("started again")
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET6))

    def test_by_bypass(self):
        self.lab.nginx()
        self.addCleanup(lambda: self.hairpin("cleanup"))
        proxy = self.proxy(HAIRPIN, "bypass", "--")
        self.addCleanup(proxy.stop)
        hairpin = self.run_hairpin(LOCAL)
        self.assertIn("started by hairpin bypass", hairpin.log())
        self.check(hairpin, 4, *[(ns, address) for ns in ("router", "client") for address in (TARGET4, TARGET6)])

    def test_one_that_cannot_be_told(self):
        self.proxy()
        before = self.everything()
        with self.assertRaisesRegex(AssertionError, "hairpin bypass"):
            self.run_hairpin(LOCAL)
        self.assertEqual(self.everything(), before)
        (self.lab.folder / "c.json").write_text(json.dumps({
            "inbounds": [{"type": "tun", "address": [f"{TUN4}/30"], "auto_route": True}], "outbounds": [LOCAL]}))
        for command in ("plan", "doctor"):
            done = self.hairpin(command, "-c", self.lab.folder / "c.json", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("hairpin bypass", done.stdout + done.stderr)

    def test_one_that_is_not_there(self):
        with self.assertRaisesRegex(AssertionError, "start the proxy first"):
            self.run_hairpin(LOCAL)

    def test_one_that_the_administrator_has_left_out(self):
        self.lab.nginx()
        self.proxy()
        hairpin = self.run_hairpin(LOCAL, exclude_uid=0)
        self.check(hairpin, 1, ("router", TARGET4, "setpriv", "--reuid", "4711", "--clear-groups"))


class Names(WhoTest):
    def proxy_by_name(self):
        """An outbound, and what hairpin must be started by to know its name server."""
        self.lab.nginx()
        self.lab.dante()
        self.lab.dnsmasq(PROXY4)
        resolv = self.lab.folder / "resolv.conf"
        resolv.write_text(f"nameserver {TARGET4}\noptions timeout:1 attempts:1\n")
        wrap = ("unshare", "-m", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf; exec "$@"', "sh")
        return {"type": "socks", "tag": "proxy", "server": "proxy.test.example", "server_port": 1081}, wrap

    def test_a_proxy_by_name(self):
        """Its name server is captured, too, and reached through the proxy."""
        proxy, wrap = self.proxy_by_name()
        self.lab.ip("router", "route del default")
        with self.assertRaisesRegex(AssertionError, "must be known before"):
            self.start(proxy, wrap=wrap)
        self.lab.ip("router", f"route add default via {PROXY4}")
        hairpin = self.start(proxy, wrap=wrap)
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET6))

    def test_a_proxy_by_name_behind_a_wall(self):
        """What on_stop has closed lets the question for the proxy's name through."""
        proxy, wrap = self.proxy_by_name()
        for _ in range(2):
            hairpin = self.run_hairpin(proxy, wrap=wrap, on_stop="closed")
            self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET6))
            hairpin.stop()
        self.assertNotIn("hello", self.fetch("router", TARGET4))
        # The next start without that wish opens it again.
        hairpin = self.run_hairpin(proxy, wrap=wrap)
        hairpin.stop()
        self.assertEqual(self.fetch("router", TARGET4), "hello from nginx\n")


class Choices(WhoTest):
    def test_bypass(self):
        self.lab.nginx()
        self.addCleanup(lambda: self.hairpin("cleanup"))
        hairpin = self.run_hairpin()
        self.check(hairpin, 1, ("router", TARGET4))
        for address in (TARGET4, f"[{TARGET6}]"):
            done = self.hairpin("bypass", "curl", "-sS", "-m5", f"http://{address}/who")
            self.assertNotIn(TUN4, done.stdout)
        self.assertEqual(self.captured(hairpin), 1)
        self.assertEqual(self.hairpin("bypass", "--", "sh", "-c", "exit 7", check=False).returncode, 7)
        self.assertEqual(self.hairpin("bypass", "no-such-program", check=False).returncode, 127)

    def test_control_groups(self):
        self.lab.nginx()
        group = self.group("games")
        inside = ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
        for field, captured in (("include_cgroup", (1, 0)), ("exclude_cgroup", (0, 1))):
            hairpin = self.run_hairpin(**{field: f"/{group.name}"})
            # A service that is started again has a new group of the same name.
            group.rmdir()
            group.mkdir()
            hairpin.wait_log("followed")
            for wrap, expected in zip((inside, ()), captured):
                before = self.captured(hairpin)
                for address in (TARGET4, f"[{TARGET6}]"):
                    done = sh(*self.enter(*wrap, "curl", "-sS", "-m5", f"http://{address}/"))
                    self.assertEqual(done.stdout, "hello from nginx\n")
                self.assertEqual(self.captured(hairpin) - before, 2 * expected, (field, wrap))
            hairpin.stop()

    def test_address_sets(self):
        self.lab.nginx()
        path = self.lab.folder / "set.json"

        def write(*prefixes):
            path.write_text(json.dumps({"version": 3, "rules": [{"ip_cidr": list(prefixes)}]}))

        # Every other /25 of 10.0.0.0/8 and more: nothing that could be merged.
        many = [f"{10 + i // 32768}.{i // 128 % 256}.{i % 128 * 2}.0/25" for i in range(100_000)]
        write(f"{TARGET4}/32", f"{TARGET6}/128", *many)
        sets = {"rule_set": [{"type": "local", "tag": "some", "path": str(path)},
                             {"type": "inline", "tag": "not", "rules": [{"ip_cidr": [f"{OTHER4}/32"]}]}]}
        start = time.monotonic()
        hairpin = self.start(route=sets, route_address_set="some", route_exclude_address_set=["not"])
        print(f"up with 100,000 prefixes in {time.monotonic() - start:.2f} s", flush=True)
        self.check(hairpin, 4, *[(ns, address) for ns in ("router", "client") for address in (TARGET4, TARGET6)])
        self.check(hairpin, 0, ("router", OTHER4), ("client", OTHER4))
        listed = self.lab.run("router", "nft", "-j", "list", "set", "inet", "hairpin-capture-hp0", "route_address_set4").stdout
        self.assertEqual(listed.count('"prefix"'), 100_000)
        # Others, without a connection that runs being moved.
        server = self.lab.listen(TARGET4, 9000)
        running = self.lab.socket("client")
        running.connect((TARGET4, 9000))
        accepted, _ = server.accept()
        write(f"{TARGET6}/128", *many[1:])
        start = time.monotonic()
        os.kill(hairpin.pid, signal.SIGHUP)
        hairpin.wait_log("reloaded")
        print(f"replaced in {time.monotonic() - start:.2f} s", flush=True)
        self.check(hairpin, 1, ("client", TARGET6), ("client", TARGET4))
        running.sendall(b"still here")
        self.assertEqual(accepted.recv(100), b"still here")

    def test_mac_addresses(self):
        self.lab.nginx()
        mac = self.lab.run("client", "cat", "/sys/class/net/c0/address").stdout.strip()
        for field, captured in (("include_mac_address", 1), ("exclude_mac_address", 0)):
            hairpin = self.start(**{field: mac.upper()})
            self.check(hairpin, captured, ("client", TARGET4))
            self.check(hairpin, captured, ("client", TARGET6))
            self.check(hairpin, 1, ("router", TARGET4))
            hairpin.stop()
            hairpin = self.start(**{field: "02:00:5e:00:53:01"})
            self.check(hairpin, 1 - captured, ("client", TARGET4))
            hairpin.stop()

    @unittest.skipUnless(REDIRECT, "only auto_redirect has one")
    def test_connecting_to_our_own_listener(self):
        hairpin = self.start(gateway=True)
        ports = [line.split()[3].rsplit(":", 1)[1] for line in self.lab.run("router", "ss", "-4Hlnt").stdout.splitlines()]
        self.assertTrue(ports)
        for port in set(ports):
            for address in (ROUTER4, "127.0.0.1"):
                sock = self.lab.socket("router")
                with contextlib.suppress(ConnectionResetError):  # which may come before the connection is noticed
                    sock.connect((address, int(port)))
                    self.assertEqual(sock.recv(1), b"")
        self.assertGreaterEqual(hairpin.counters()["tcp_looped"], 2)


class Words(WhoTest):
    def refused(self, config, *words):
        path = self.lab.folder / "refused.json"
        path.write_text(json.dumps(config))
        before = self.everything()
        for command in ("check", "plan", "run"):
            done = self.hairpin(command, "-c", path, check=False)
            self.assertNotEqual(done.returncode, 0, (command, words))
            for word in words:
                self.assertIn(word, done.stderr, command)
        self.assertEqual(self.everything(), before)

    def test_impossible_set_ups(self):
        tun = {"type": "tun", "interface_name": "hp0", "address": [f"{TUN4}/30"], "auto_route": True}
        self.refused({"inbounds": [tun | {"address": ["192.0.2.77/28"]}]}, "overlaps 192.0.2.0/24 on r0")
        self.refused({"inbounds": [tun], "outbounds": [LOCAL | {"server": "172.18.0.2"}]}, "through the proxy itself")
        self.refused({"inbounds": [tun], "outbounds": [{"type": "direct"}], "route": {"default_mark": 0}}, "routing_mark")
        self.refused({"inbounds": [tun | {"include_interface": "r0", "exclude_interface": "r1"}]}, "together")
        self.refused({"inbounds": [tun, tun | {"interface_name": "hp1", "address": ["172.19.0.1/30"]}]},
                     "iproute2_table_index", "iproute2_rule_index")
        self.refused({"inbounds": [tun | {"include_mac_address": [], "exclude_mac_address": []}]}, "together")
        self.refused({"inbounds": [tun | {"route_address_set": "nets"}], "route": {"rule_set": [
            {"type": "inline", "tag": "nets", "rules": []}]}}, "has no address")
        self.refused({"inbounds": [tun | {"route_address_set": "net"}], "route": {"rule_set": [
            {"type": "local", "tag": "nets", "path": "/no/such"}]}}, "/no/such", "no rule-set")
        self.refused({"inbounds": [tun | {"auto_redirect_input_mark": "0x12024"}]}, "auto_redirect_mark_mask")
        self.refused({"inbounds": [tun | {"auto_redirect_input_mark": "0x2024"}]}, "capture itself")

    def test_no_iptables_mode(self):
        done = sh(*self.enter("env", "DISABLE_NFTABLES=1", HAIRPIN, "run", "--auto-route"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no other mode", done.stderr)

    def doctor(self, **fields):
        path = self.lab.folder / "doctor.json"
        path.write_text(json.dumps({"inbounds": [{"type": "tun", "interface_name": "hp0", "address": [f"{TUN4}/30"],
                                                  "auto_route": True, **fields}]}))
        done = self.hairpin("doctor", "--json", "-c", path, check=False)
        return done.returncode, json.loads(done.stdout)

    def test_doctor(self):
        status, findings = self.doctor(strict_route=True)
        self.assertEqual([f for f in findings if f["state"] == "wrong"], [])
        self.assertEqual(status, 0)
        # What it finds: a family that leaks, a firewall, taken numbers, a wall of a former run.
        self.nft("router", "table inet firewall {\nchain forward {\ntype filter hook forward priority filter; policy drop;\n}\n}\n"
                           "table inet hairpin-wall-hp7 { }")
        self.lab.ip("router", "rule add pref 9004 fwmark 0x23/0xff lookup 77 protocol static")
        self.lab.ip("router", "route add 192.0.2.77/32 dev r0 table 2022")
        status, findings = self.doctor()
        self.assertEqual(status, 1)
        wrong = {f["check"]: f for f in findings if f["state"] != "ok"}
        for check, words in (("IPv6", "around the proxy"), ("firewall", "chain forward"), ("routing rules", "9004"),
                             ("routing table", "2022"), ("marks", "0x23"), ("leftovers", "closed")):
            self.assertIn(words, wrong[check]["evidence"])
            self.assertTrue(wrong[check]["cure"])
        text = self.hairpin("doctor", "--auto-route", check=False).stdout
        self.assertIn("hairpin cleanup", text)

    def test_reload_by_name(self):
        hairpin = self.start()
        done = self.lab.run("router", HAIRPIN, "reload")
        self.assertIn(str(hairpin.pid), done.stdout)
        hairpin.wait_log("reloaded")
        path = next(word for word in hairpin.process.words if word.endswith(".json"))
        open(path, "a").write("{")
        done = self.lab.run("router", HAIRPIN, "reload", check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn(":", done.stderr)
        hairpin.stop()
        self.assertIn("no hairpin", self.lab.run("router", HAIRPIN, "reload", check=False).stderr)


if __name__ == "__main__":
    main()
