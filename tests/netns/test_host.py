"""The surroundings in which auto_route has to work, and what becomes of it when they change.

Each test is one cell of a matrix: ctest runs all of them over a TUN, over a veth, and with auto_redirect.
Topology: see lab.py. The uplink is r1, with the default route; r0 is the LAN.
"""

import json
import os
import signal
import socket
import threading
import time

from hostlab import HostTest, REDIRECT, Uplink, WAY, addresses
from lab import (CLIENT4, CLIENT6, OTHER4, PROXY4, ROUTER4, ROUTER6, TARGET4, TARGET6, TUN4, TUN6, main, need, sh,
                 wait_for)

SOCKS = {"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1081}
KILLS = int(os.environ.get("HAIRPIN_KILLS", "20"))


class Surroundings(HostTest):
    def dig(self, ns, server=TARGET4):
        return self.lab.run(ns, "dig", "+short", "+time=2", "+tries=1", f"@{server}", "a.test.example",
                            check=False).stdout.strip()

    def ping(self, ns, address):
        return self.lab.run(ns, "ping", "-c1", "-W2", address, check=False).returncode == 0

    def box(self, name, address, gateway, bridge):
        """A container: a namespace behind a bridge of the router, which translates what it sends."""
        sh("ip", "netns", "add", self.lab.name(name))
        self.lab.spaces.append(name)
        sh("ip", "link", "add", "eth0", "netns", self.lab.name(name), "type", "veth", "peer", "name", f"v-{name}",
           "netns", self.lab.name("router"))
        self.lab.ip("router", f"link add {bridge} type bridge")
        self.lab.ip("router", f"addr add {gateway}/16 dev {bridge}")
        self.lab.ip("router", f"link set v-{name} master {bridge} up")
        self.lab.ip("router", f"link set {bridge} up")
        self.lab.ip(name, "link set lo up")
        self.lab.ip(name, f"addr add {address}/16 dev eth0")
        self.lab.ip(name, "link set eth0 up")
        self.lab.ip(name, f"route add default via {gateway}")
        wait_for(lambda: "LOWER_UP" in self.lab.ip("router", f"link show dev {bridge} up").stdout, "the bridge")

    def serve(self, ns, address, port, text):
        """A server that answers each connection with a text and the address it came from."""
        listener = self.lab.listen(address, port, ns=ns)
        listener.settimeout(None)

        def loop():
            while True:
                try:
                    connection, peer = listener.accept()
                except OSError:
                    return
                connection.sendall(f"{text} {peer[0]}\n".encode())
                connection.close()

        threading.Thread(target=loop, daemon=True).start()

    def ask(self, address, port, source=TARGET4, ns="server"):
        """What that server says to somebody, by default outside."""
        sock = self.lab.socket(ns, socket.AF_INET6 if ":" in address else socket.AF_INET, timeout=5)
        sock.bind((source, 0))
        sock.connect((address, port))
        try:
            return sock.recv(100).decode()
        finally:
            sock.close()

    def of_interest(self, uplink):
        """Without what only neighbours say to each other."""
        return [packet for packet in uplink.packets()
                if not any(words in packet for words in ("ARP", "ICMP6, neighbor", "ICMP6, router", "multicast listener"))]

    def test_plain_host_and_lan_through_a_proxy_leak_nothing(self):
        need("tcpdump", "ping")
        self.lab.nginx()
        self.lab.dnsmasq()
        self.lab.dante()
        hairpin = self.start(SOCKS)
        uplink = Uplink(self.lab)
        for ns in ("router", "client"):
            for address in (TARGET4, TARGET6):
                self.assertEqual(self.fetch(ns, address), "hello from nginx\n")
                self.assertEqual(self.dig(ns, address), TARGET4)
                self.assertTrue(self.ping(ns, address), f"{ns} {address}")
        packets = self.of_interest(uplink)
        self.assertGreater(len(packets), 40)
        for packet in packets:
            self.assertIn(addresses(packet), [(ROUTER4, PROXY4), (PROXY4, ROUTER4)], packet)
        print(f"leak test over {WAY}: {len(packets)} packets on the uplink, all between host and proxy", flush=True)
        self.assertEqual(hairpin.counters().get("tcp_opened"), 4)

    def test_an_uncarried_family_does_not_leak(self):
        self.lab.nginx()
        self.lab.dnsmasq()
        self.lab.dante()
        for address, carried, other in ((f"{TUN4}/30", TARGET4, TARGET6), (f"{TUN6}/126", TARGET6, TARGET4)):
            hairpin = self.start(SOCKS, address=[address], strict_route=True)
            uplink = Uplink(self.lab)
            for ns in ("router", "client"):
                self.assertEqual(self.fetch(ns, carried), "hello from nginx\n")
                self.assertNotIn("hello", self.fetch(ns, other))
                self.assertNotEqual(self.dig(ns, other), TARGET4)
                self.assertFalse(self.ping(ns, other))
            for packet in self.of_interest(uplink):
                self.assertIn(addresses(packet), [(ROUTER4, PROXY4), (PROXY4, ROUTER4)], packet)
            self.assertEqual(hairpin.stop(), 0)

    def test_reverse_path_filters(self):
        self.lab.nginx()
        self.lab.sysctl("router", *[f"net.ipv4.conf.{name}.rp_filter=1" for name in ("all", "default", "r0", "r1")])
        hairpin = self.start()
        self.check(hairpin, 4, *[(ns, address) for ns in ("router", "client") for address in (TARGET4, TARGET6)])

    def test_services_of_this_host(self):
        """sshd, reached from outside and from inside while everything is captured."""
        need("sshd", "ssh", "ssh-keygen")
        folder = self.lab.folder / "ssh"
        folder.mkdir()
        for name in ("host", "user"):
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        folder.chmod(0o755)
        (folder / "config").write_text(f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\n"
                                       "UsePAM no\nStrictModes no\nPermitRootLogin yes\nPort 22\n")
        os.makedirs("/run/sshd", exist_ok=True)
        self.lab.start("router", "/usr/sbin/sshd", "-D", "-e", "-f", folder / "config")
        self.lab.wait_listening("router", 22)
        hairpin = self.start(strict_route=True)
        for ns, address, source in (("server", ROUTER4, TARGET4), ("server", ROUTER6, TARGET6), ("client", ROUTER4, None),
                                    ("client", "192.0.2.1", None), ("router", ROUTER4, None)):
            done = self.lab.run(ns, "ssh", "-F", "none", "-i", folder / "user", "-o", "StrictHostKeyChecking=no", "-o",
                                "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5",
                                *(["-b", source] if source else []), f"root@{address}", "echo $SSH_CONNECTION",
                                check=False)
            self.assertIn(f" {address} 22", done.stdout, done.stderr)
            if source:
                self.assertTrue(done.stdout.startswith(source), "the visitor's own address")
        self.assertEqual(self.captured(hairpin), 0)

    def test_published_port_of_a_container(self):
        self.lab.nginx()
        self.lab.dnsmasq()
        self.box("box", "172.30.0.2", "172.30.0.1", "br-box")
        self.nft("router", f"""table ip docker {{
            chain prerouting {{ type nat hook prerouting priority dstnat;
                                fib daddr type local tcp dport 8080 dnat to 172.30.0.2:80
                              }}
            chain output {{ type nat hook output priority -100;
                            fib daddr type local tcp dport 8080 dnat to 172.30.0.2:80
                              }}
            chain postrouting {{ type nat hook postrouting priority srcnat;
                                 ip saddr 172.30.0.0/16 oifname != "br-box" masquerade
                                 }} }}
            """)
        self.serve("box", "172.30.0.2", 80, "container")
        hairpin = self.start()
        self.assertEqual(self.ask(ROUTER4, 8080), f"container {TARGET4}\n")
        self.assertEqual(self.ask(ROUTER4, 8080, CLIENT4, "client"), f"container {CLIENT4}\n")
        self.assertEqual(self.captured(hairpin), 0)
        self.check(hairpin, 2, ("box", TARGET4), ("router", TARGET4))  # and its own way out is captured
        self.assertEqual(self.dig("box"), TARGET4)
        self.assertEqual(self.ask(ROUTER4, 8080), f"container {TARGET4}\n")

    def test_port_forward_to_the_lan(self):
        self.lab.nginx()
        self.nft("router", f"""table inet forward {{
            chain prerouting {{ type nat hook prerouting priority dstnat;
                                iifname "r1" tcp dport 2222 dnat ip to {CLIENT4}:22;
                                iifname "r1" tcp dport 2223 dnat ip6 to [{CLIENT6}]:22
                                }} }}
            """)
        self.serve("client", CLIENT4, 22, "lan")
        self.serve("client", CLIENT6, 22, "lan")
        hairpin = self.start(strict_route=True)
        self.assertEqual(self.ask(ROUTER4, 2222), f"lan {TARGET4}\n")
        self.assertEqual(self.ask(ROUTER6, 2223, TARGET6), f"lan {TARGET6}\n")
        # What is not translated at all, too: a server with an address of its own.
        self.assertEqual(self.ask(CLIENT6, 22, TARGET6), f"lan {TARGET6}\n")
        self.assertEqual(self.captured(hairpin), 0)
        self.check(hairpin, 2, ("client", TARGET4), ("client", TARGET6))

    def test_a_second_tunnel(self):
        """One that sends its packets from a marked socket, as WireGuard does."""
        self.lab.nginx()
        tunnels = []
        for ns, own, peer, host in (("router", "10.99.0.1", "10.99.0.2", TARGET4), ("server", "10.99.0.2", "10.99.0.1",
                                                                                  ROUTER4)):
            self.lab.ip(ns, "tuntap add dev wg9 mode tun")
            self.lab.ip(ns, f"addr add {own} peer {peer} dev wg9")
            self.lab.ip(ns, "link set wg9 up mtu 1400")
            tunnels.append((ns, host))
        threads = [Tunnel(self.lab, ns, host) for ns, host in tunnels]
        for thread in threads:
            self.addCleanup(thread.stop)
        # Its peer is beyond the default route: there the marked packets would be captured if they could.
        hairpin = self.start(strict_route=True)
        self.assertTrue(self.ping("router", "10.99.0.2"))
        self.assertEqual(self.fetch("router", "10.99.0.2"), "hello from nginx\n")
        counters = hairpin.counters()
        self.assertEqual([counters.get("tcp_opened", 0), counters.get("udp_opened", 0)], [0, 0])

    def test_policies_that_drop(self):
        self.lab.nginx()
        self.lab.dnsmasq()
        self.nft("router", """table inet firewall {
            chain input { type filter hook input priority filter; policy drop;
                          ct state established,related accept; iifname "lo" accept; icmpv6 type { 133-136 } accept
                          }
            chain forward { type filter hook forward priority filter; policy drop;
                            ct state established,related accept; iifname "r0" oifname "r1" accept comment "hairpin NAT"
                            } }
            """)
        before = self.everything()
        hairpin = self.start(gateway=True)
        self.check(hairpin, 4, *[(ns, address) for ns in ("router", "client") for address in (TARGET4, TARGET6)])
        for ns in ("router", "client"):
            self.assertEqual(self.dig(ns), TARGET4)
        self.lab.run("router", os.environ["HAIRPIN"], "cleanup")  # touches nothing of one that runs
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET6))
        os.kill(hairpin.pid, signal.SIGKILL)
        hairpin.process.popen.wait()
        wait_for(lambda: "hp0" not in self.lab.run("router", "ip", "link").stdout, "the interface to go")
        self.assertIn("added by hairpin", self.everything())
        self.lab.run("router", os.environ["HAIRPIN"], "cleanup")
        self.assertEqual(self.everything(), before)
        self.start(gateway=True).stop()
        self.assertEqual(self.everything(), before)

    def second_uplink(self):
        """r2, up and with an address, but without a route."""
        sh("ip", "link", "add", "r2", "netns", self.lab.name("router"), "type", "veth", "peer", "name", "s2", "netns",
           self.lab.name("server"))
        self.lab.ip("router", "addr add 198.51.100.129/25 dev r2")
        self.lab.ip("server", "addr add 198.51.100.130/25 dev s2")
        self.lab.ip("router", "link set r2 up")
        self.lab.ip("server", "link set s2 up")

    def test_the_uplink_changes(self):
        self.lab.nginx()
        hairpin = self.start(strict_route=True)
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET4))

        # Another address.
        self.lab.ip("router", f"addr del {ROUTER4}/24 dev r1")
        self.lab.ip("router", "addr add 198.51.100.9/24 dev r1")
        self.lab.ip("router", f"route replace default via {PROXY4}")
        self.lab.ip("server", "route replace default via 198.51.100.9")
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET4))

        # Gone, and there again.
        self.lab.ip("router", "link del r1")
        self.assertNotIn("hello", self.fetch("router", TARGET4))
        sh("ip", "link", "add", "r1", "netns", self.lab.name("router"), "type", "veth", "peer", "name", "s0", "netns",
           self.lab.name("server"))
        self.lab.ip("router", f"addr add {ROUTER4}/24 dev r1")
        self.lab.ip("server", f"addr add {PROXY4}/24 dev s0")
        self.lab.ip("router", "link set r1 up")
        self.lab.ip("server", "link set s0 up")
        self.lab.ip("server", f"route replace default via {ROUTER4}")
        wait_for(lambda: "LOWER_UP" in self.lab.ip("router", "link show dev r1 up").stdout, "carrier")
        self.lab.ip("router", f"route add default via {PROXY4}")
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET4))

        # Another network that the host knows now: reached directly, and the wall lets it through. All changes before
        # have been followed when a second has passed without a word.
        seen = -1
        while seen != (seen := hairpin.log().count("followed")):
            time.sleep(1)
        self.lab.ip("router", "link add lan2 type dummy", check=False)
        self.lab.ip("router", f"route add {OTHER4}/32 via {PROXY4}")
        wait_for(lambda: hairpin.log().count("followed") > seen, "a change of the network")
        self.check(hairpin, 0, ("router", OTHER4))

        # A second uplink with a better metric.
        self.second_uplink()
        self.lab.ip("router", f"route replace default via {PROXY4} dev r1 metric 500")
        self.lab.ip("router", "route del default metric 0", check=False)
        self.lab.ip("router", "route add default via 198.51.100.130 dev r2 metric 100")
        uplink = Uplink(self.lab, "r2")
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET4))
        self.assertTrue(any("198.51.100.129" in packet for packet in uplink.packets()))

    def test_the_bound_uplink_is_followed(self):
        self.lab.nginx()
        hairpin = self.lab.hairpin(capture=False, tun={"auto_route": True, "auto_redirect": REDIRECT},
                                   route={"auto_detect_interface": True})
        hairpin.wait_log("bound to r1")
        self.check(hairpin, 1, ("router", TARGET4))
        self.second_uplink()
        self.lab.ip("router", f"route add default via {PROXY4} dev r1 metric 500")
        self.lab.ip("router", "route del default metric 0")
        self.lab.ip("router", "route add default via 198.51.100.130 dev r2 metric 100")
        hairpin.wait_log("bound to r2")
        self.check(hairpin, 1, ("router", TARGET4))
        self.lab.ip("server", "link set s2 down")  # no carrier any more, though the route is still there
        hairpin.wait_log("bound to r1[^$]*bound to r1")

    def test_what_others_remove_is_put_back(self):
        self.lab.nginx()
        hairpin = self.start(on_stop="closed")
        self.lab.run("router", "nft", "flush", "ruleset", check=False)
        self.lab.ip("router", "rule del pref 9009")
        self.lab.ip("router", "-6 rule flush", check=False)
        self.lab.ip("router", "-6 rule add pref 32766 lookup main", check=False)
        self.lab.ip("router", "route flush table 2022")
        hairpin.wait_log("put back")
        # All of it: what was removed late is seen late.
        wait_for(lambda: "hairpin-wall-hp0" in self.lab.run("router", "nft", "list", "tables").stdout, "the wall")
        for family in ("-4", "-6"):
            wait_for(lambda: "9009:" in self.lab.ip("router", f"{family} rule").stdout, "the rules")
            wait_for(lambda: "default" in self.lab.ip("router", f"{family} route show table 2022", check=False).stdout, "the routes")
        self.check(hairpin, 4, *[(ns, address) for ns in ("router", "client") for address in (TARGET4, TARGET6)])

    def test_churn_costs_little(self):
        hairpin = self.start(strict_route=True)
        wait_for(lambda: hairpin.counters() is not None, "counters")

        def cpu():
            with open(f"/proc/{hairpin.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        batch = self.lab.folder / "churn"
        batch.write_text("".join(f"route {verb} 10.{i // 250}.{i % 250}.0/24 via {PROXY4} table 77\n" for verb in
                                 ("add", "del") for i in range(5000)))
        before = cpu()
        self.lab.run("router", "ip", "-batch", batch)
        time.sleep(2.5)
        spent = cpu() - before
        print(f"10,000 changes of routes cost {spent * 1000:.0f} ms", flush=True)
        self.assertLess(spent, 1, "no measurement (a sanitizer may be in it), but no flood either")

    def test_kill(self):
        self.lab.nginx()
        before = self.everything()
        for _ in range(KILLS):
            hairpin = self.start()
            os.kill(hairpin.pid, signal.SIGKILL)
            hairpin.process.popen.wait()
        wait_for(lambda: "hp0" not in self.lab.run("router", "ip", "link").stdout, "the interface to go")
        self.assertEqual(self.fetch("router", TARGET4), "hello from nginx\n")
        hairpin = self.start()
        self.check(hairpin, 1, ("router", TARGET4))
        hairpin.stop()
        self.assertEqual(self.everything(), before)
        for _ in range(2):
            hairpin = self.start()
            os.kill(hairpin.pid, signal.SIGKILL)
            hairpin.process.popen.wait()
            wait_for(lambda: "hp0" not in self.lab.run("router", "ip", "link").stdout, "the interface to go")
            for _ in range(2):
                self.lab.run("router", os.environ["HAIRPIN"], "cleanup")
                self.assertEqual(self.everything(), before)
        print(f"{KILLS} times start and kill -9, nothing left", flush=True)

    def test_closed(self):
        self.lab.nginx()
        hairpin = self.start(on_stop="closed")
        self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET6))
        for how in (signal.SIGTERM, signal.SIGKILL):
            os.kill(hairpin.pid, how)
            hairpin.process.popen.wait()
            for ns in ("router", "client"):
                for address in (TARGET4, TARGET6):
                    self.assertNotIn("hello", self.fetch(ns, address))
            self.assertEqual(self.fetch("client", PROXY4), "hello from nginx\n", "a network that the host knows")
            self.assertEqual(self.fetch("router", TARGET4, "setpriv", "--reuid", "0"), self.fetch("router", TARGET4))
            hairpin = self.start(on_stop="closed")
            self.check(hairpin, 2, ("router", TARGET4), ("client", TARGET6))
        self.assertIn("running", self.lab.run("router", os.environ["HAIRPIN"], "cleanup").stdout)
        self.assertIn("hairpin-wall-hp0", self.lab.run("router", "nft", "list", "tables").stdout)
        hairpin.stop()
        self.lab.run("router", os.environ["HAIRPIN"], "cleanup")
        self.assertEqual(self.fetch("router", TARGET4), "hello from nginx\n")


class Reload(HostTest):
    def write(self, hairpin, change=lambda config: None):
        config = json.loads(json.dumps(hairpin.config))
        change(config)
        path = self.lab.folder / "reload.json"
        path.write_text(json.dumps(config))
        return config

    def reload(self, hairpin, change, said="reloaded"):
        before = hairpin.log().count(said)
        path = next(word for word in hairpin.process.words if word.endswith(".json"))
        config = json.loads(open(path).read())
        change(config)
        open(path, "w").write(json.dumps(config))
        os.kill(hairpin.pid, signal.SIGHUP)
        wait_for(lambda: hairpin.log().count(said) > before, f"{said}: {hairpin.log()[-500:]}")

    def test_under_load(self):
        need("iperf3")
        self.lab.nginx()
        self.lab.dante()
        self.lab.start("server", "iperf3", "-s", "-B", TARGET4)
        self.lab.wait_listening("server", 5201)
        hairpin = self.start(SOCKS)
        load = self.lab.start("router", "iperf3", "-J", "-c", TARGET4, "-P", "8", "-t", "8")
        time.sleep(1)

        def other(config):
            config["outbounds"] = [{"type": "direct", "tag": "direct"}]
            config["inbounds"][0]["route_exclude_address"] = [f"{OTHER4}/32"]

        self.reload(hairpin, other)
        self.check(hairpin, 1, ("router", TARGET4), ("router", OTHER4))
        self.reload(hairpin, lambda config: config["inbounds"][0].update(exclude_mac_address="02:00:5e:00:53:01"))
        self.assertIsNone(load.popen.poll(), "still running")
        self.assertEqual(hairpin.counters().get("tcp_reset", 0), 0)
        self.assertEqual(load.wait(), 0, load.out()[-500:])
        done = json.loads(load.out())
        self.assertNotIn("error", done)
        for interval in done["intervals"]:
            self.assertGreater(interval["sum"]["bits_per_second"], 1e6, "it went on all the time")

    def test_a_wrong_file_changes_nothing(self):
        self.lab.nginx()
        hairpin = self.start()
        before = self.everything()
        path = next(word for word in hairpin.process.words if word.endswith(".json"))
        good = open(path).read()
        for text, said in (("{", "configuration is wrong"), (good.replace("hp0", "hp9"), "interface_name cannot be changed"),
                           (good.replace('"auto_route": true', '"auto_route": true, "include_cgroup": "no/such"'),
                            # Otherwise nftables would have to judge this host from now on.
                            "no/such" if REDIRECT else "judged by routing rules, or by nftables")):
            open(path, "w").write(text)
            os.kill(hairpin.pid, signal.SIGHUP)
            hairpin.wait_log(said)
            self.assertEqual(self.everything(), before)
            self.check(hairpin, 1, ("router", TARGET4))


class Tunnel:
    """A TUN whose packets go to a peer in UDP datagrams, from a marked socket."""

    def __init__(self, lab, ns, peer):
        import fcntl
        import struct

        def open_both():
            tun = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"wg9", 0x1001))
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0xCA6C)
            sock.bind(("0.0.0.0", 51820))
            return tun, sock

        self.tun, self.sock = lab.in_namespace(ns, open_both)
        self.peer = (peer, 51820)
        self.running = True
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self.out, self.back)]
        for thread in self.threads:
            thread.start()

    def out(self):
        import select
        while self.running:
            if select.select([self.tun], [], [], 0.1)[0]:
                self.sock.sendto(os.read(self.tun, 65535), self.peer)

    def back(self):
        self.sock.settimeout(0.1)
        while self.running:
            try:
                os.write(self.tun, self.sock.recv(65535))
            except (TimeoutError, OSError):
                continue

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()
        os.close(self.tun)
        self.sock.close()


if __name__ == "__main__":
    main()
