"""The link itself: devices, rules, what is answered without a flow, what stays behind. Topology: lab.py."""

import fcntl
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import time

from lab import (CLIENT4, CLIENT6, DEVICES, HAIRPIN, LINK, LabTest, OTHER4, TARGET4, TARGET6, TUN4, STACK, by_listeners,
                 main, need, over, wait_for)


def state(lab, ns):
    """All that a program may leave behind in a namespace."""
    return "\n".join(
        lab.run(ns, *words.split()).stdout
        for words in ("ls /sys/class/net", "ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all",
                      "nft list ruleset"))


class Echo(LabTest):
    def test_ping(self):
        need("ping")
        hairpin = self.lab.hairpin()
        for ns in ("router", "client"):
            for target in (TARGET4, TARGET6):
                for size in (8, 1400, 20_000):
                    with self.subTest(ns=ns, target=target, size=size):
                        # ping compares the payload of the reply with what it sent
                        done = self.lab.run(ns, "ping", "-c", "2", "-i", "0.1", "-W", "2", "-s", size, target)
                        self.assertIn(" 0% packet loss", done.stdout)
                        self.assertNotIn("wrong data", done.stdout)
        self.assertGreaterEqual(hairpin.counters()["outer_echo_answered"], 24)

    def test_other_protocols_are_refused(self):
        hairpin = self.lab.hairpin()
        for family, target, icmp in ((socket.AF_INET, TARGET4, socket.IPPROTO_ICMP),
                                     (socket.AF_INET6, TARGET6, socket.IPPROTO_ICMPV6)):
            errors = self.lab.socket("client", family, socket.SOCK_RAW, 0, icmp)
            gre = self.lab.socket("client", family, socket.SOCK_RAW, protocol=socket.IPPROTO_GRE)
            gre.sendto(bytes(20), (target, 0))
            kind = wait_for(lambda: self._error(errors, family), "an ICMP error")
            self.assertEqual(kind, (3, 13) if family == socket.AF_INET else (1, 1))
        hairpin.wait_counters(outer_protocol_refused=2)

    @staticmethod
    def _error(sock, family):
        try:
            packet = sock.recv(2000)
        except BlockingIOError:
            return None
        body = packet[(packet[0] & 15) * 4:] if family == socket.AF_INET else packet
        return (body[0], body[1]) if body[0] in (1, 3) else None


class Hostile(LabTest):
    """Packets that no honest host sends, written right into the outer device."""

    def frames(self):
        rng = random.Random(1)
        for size in range(1, 101):  # every length; nothing can be sent with length 0
            yield bytes(size)
            yield rng.randbytes(size)
            for version in (0x45, 0x46, 0x4f, 0x60):
                yield bytes([version]) + rng.randbytes(size - 1)
        ip4 = socket.inet_aton(CLIENT4) + socket.inet_aton(TARGET4)
        ip6 = socket.inet_pton(socket.AF_INET6, CLIENT6) + socket.inet_pton(socket.AF_INET6, TARGET6)
        for length in (0, 19, 20, 21, 60, 1500, 65535):  # lengths that lie
            for protocol in (1, 6, 17, 47, 58):
                for fragment in (0, 0x2000, 0x2001, 0x1fff, 0x4000):
                    yield struct.pack(">BBHHHBBH", 0x45, 0, length, 7, fragment, 64, protocol, 0) + ip4 + bytes(40)
        for length in (0, 1, 7, 8, 40, 41, 1500, 65535):
            for chain in ((0,), (43,), (44,), (60,), (51,), (59,), (0, 60, 43, 44), (60,) * 12, (44, 44, 44)):
                body = b"".join(bytes([after, rng.choice((0, 0, 1, 255))]) + rng.randbytes(6)
                                for after in chain[1:] + (17,))
                yield struct.pack(">IHBB", 6 << 28, length, chain[0], 64) + ip6 + body
                yield struct.pack(">IHBB", 6 << 28, len(body), chain[0], 64) + ip6 + body

    def test_hostile_packets(self):
        self.lab.nginx()
        hairpin = self.lab.hairpin()
        sock = self.lab.socket("router", socket.AF_PACKET, socket.SOCK_DGRAM)
        # A veth's frames are addressed: to its own address, which the other end has too.
        link = self.lab.run("router", "cat", "/sys/class/net/hp0/address").stdout.strip()
        address = bytes.fromhex(link.replace(":", ""))
        count = 0
        for frame in self.frames():
            for protocol in (0x0800, 0x86dd):
                try:
                    sock.sendto(frame, ("hp0", protocol, 0, 0, address))
                    count += 1
                except OSError:
                    pass  # too large for the device
        counters = wait_for(lambda: self.settled(hairpin), "the packets to be read")
        outer = {name: value for name, value in counters.items() if name.startswith("outer_")}
        self.assertGreater(counters["outer_dropped_malformed"], 500)
        if LINK == "tun":
            self.assertGreater(counters["outer_dropped_scope"], 0)
            # Each is accounted for: those that we answered, and those that are the kernel's own noise, too.
            self.assertGreaterEqual(sum(outer.values()), count)
        for target in (TARGET4, f"[{TARGET6}]"):
            done = self.lab.run("client", "curl", "-sS", "--max-time", "5", f"http://{target}/")
            self.assertEqual(done.stdout, "hello from nginx\n")

    @staticmethod
    def settled(hairpin):
        first = hairpin.counters()
        time.sleep(0.3)
        return first if hairpin.counters() == first else None


class Leftovers(LabTest):
    def test_a_stop_leaves_nothing_and_is_fast(self):
        before = state(self.lab, "router")
        for sig in (signal.SIGTERM, signal.SIGINT):
            hairpin = self.lab.hairpin(capture=False)
            self.assertIn(DEVICES[-1], state(self.lab, "router"))
            start = time.monotonic()
            self.assertEqual(hairpin.stop(sig), 0)
            took = time.monotonic() - start
            self.assertLess(took, 1)
            self.assertEqual(state(self.lab, "router"), before)
            print(f"       stop took {took * 1000:.0f} ms", flush=True)

    def test_a_kill_leaves_nothing_that_works_and_a_start_cleans(self):
        before = state(self.lab, "router")
        for _ in range(3):
            self.lab.hairpin(capture=False).stop(signal.SIGKILL)
            # The kernel removes devices, routes and the owned table; the rules are inert without. A veth goes
            # with its private namespace: nothing else takes its other end away.
            wait_for(lambda: "hp0" not in self.lab.run("router", "ip", "-o", "link").stdout, "devices to go")
            wait_for(lambda: "hairpin" not in self.lab.run("router", "nft", "list", "ruleset").stdout, "table to go")
            left = set(state(self.lab, "router").splitlines()) - set(before.splitlines())
            self.assertTrue(all(re.match(r"9[01]:\s.*proto 72", line) for line in left), left)
            # The same two for each family; a veth link needs none, and nor does one in user space.
            self.assertEqual(len(left), 2 if "hp0-in" in DEVICES else 0, left)
        self.lab.hairpin(capture=False).stop()
        self.assertEqual(state(self.lab, "router"), before)

    def test_two_instances_side_by_side(self):
        self.lab.nginx()
        first = self.lab.hairpin()
        second_config = self.lab.folder / "second.json"
        second_config.write_text(json.dumps({"inbounds": [
            {"type": "tun", "interface_name": "hp1", "link": LINK, "stack": STACK, "address": "172.18.1.1/30"}]}))
        second = self.lab.start("router", HAIRPIN, "run", "-c", second_config)
        wait_for(lambda: "up:" in second.err(), "second instance")
        self.lab.ip("router", "route add default dev hp1 table 1002")
        self.lab.ip("router", f"rule add to {OTHER4} lookup 1002 pref 1000")
        for target in (TARGET4, OTHER4):
            done = self.lab.run("client", "curl", "-sS", "--max-time", "5", f"http://{target}/")
            self.assertEqual(done.stdout, "hello from nginx\n")
        first.stop()
        done = self.lab.run("client", "curl", "-sS", "--max-time", "5", f"http://{OTHER4}/")
        self.assertEqual(done.stdout, "hello from nginx\n")
        self.assertEqual(second.stop(), 0)

    def test_the_interface_is_removed(self):
        before = state(self.lab, "router")
        for device in DEVICES:
            hairpin = self.lab.hairpin(capture=False)
            self.lab.ip("router", f"link del {device}")
            self.assertEqual(hairpin.process.wait(5), 1)
            self.assertIn("error the interface was removed by somebody else; stopping", hairpin.log())
            self.assertEqual(state(self.lab, "router"), before)

    def test_the_name_is_taken(self):
        self.lab.hairpin(capture=False)
        done = self.lab.run("router", HAIRPIN, "run", "--tun-name", "hp0", "--link", LINK, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("interface hp0 exists already", done.stderr)


@over("tun", "system", "userspace")
class Adoption(LabTest):
    """A ready TUN, handed over in the environment."""

    TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 1, 2, 0x1000, 0x4000

    def make_tun(self, flags, name=b"ready0"):
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(fd, self.TUNSETIFF, struct.pack("16sH22x", name, flags))
            return fd

        fd = self.lab.in_namespace("router", make)
        self.addCleanup(os.close, fd)
        os.set_inheritable(fd, True)
        return fd

    def adopt(self, variable, flags, **options):
        fd = self.make_tun(flags)
        self.lab.ip("router", "addr add 172.30.0.1/30 dev ready0")
        self.lab.ip("router", "addr add fd30::1/126 dev ready0 nodad")
        self.lab.ip("router", "link set ready0 up mtu 1400")
        return self.lab.hairpin(tun={"interface_name": "ready0", "link": "auto"}, pass_fds=[fd],
                                env={**os.environ, variable: str(fd)}, **options)

    def test_carries_traffic(self):
        self.lab.nginx({"page": 3_000_000})
        for variable, flags in (("HAIRPIN_TUN_FD", self.IFF_TUN | self.IFF_NO_PI | self.IFF_VNET_HDR),
                                ("XRAY_TUN_FD", self.IFF_TUN | self.IFF_NO_PI),
                                ("xray.tun.fd", self.IFF_TUN | self.IFF_NO_PI)):
            with self.subTest(variable=variable, flags=flags):
                hairpin = self.adopt(variable, flags)
                for ns in ("router", "client"):
                    for target in (TARGET4, f"[{TARGET6}]"):
                        done = self.lab.run(ns, "curl", "-sS", "--max-time", "10", "-o", "/dev/null", "-w",
                                            "%{size_download}", f"http://{target}/page")
                        self.assertEqual(done.stdout, "3000000")
                    self.lab.run(ns, "ping", "-c", "1", "-W", "2", TARGET4)
                # Its addresses and MTU are its maker's business.
                shown = self.lab.ip("router", "addr show dev ready0").stdout
                self.assertIn("172.30.0.1/30", shown)
                self.assertIn("mtu 1400", shown)
                self.assertNotIn(TUN4, shown)
                hairpin.stop()
                self.doCleanups_of_fd()

    def doCleanups_of_fd(self):
        # Closing our copy removes the device, so that the next round can make it anew.
        function, args, _ = self._cleanups.pop()
        function(*args)
        wait_for(lambda: "ready0" not in self.lab.run("router", "ip", "-o", "link").stdout, "device to go")

    def test_what_is_handed_over_is_checked(self):
        ready = self.make_tun(self.IFF_TUN | self.IFF_NO_PI)
        tap = self.make_tun(self.IFF_TAP | self.IFF_NO_PI, b"tap0")
        informed = self.make_tun(self.IFF_TUN, b"informed0")
        with open("/dev/null") as null:
            os.set_inheritable(null.fileno(), True)
            for value, message in ((tap, "is a TAP device"), (informed, "was opened without IFF_NO_PI"),
                                   (null.fileno(), "is not a TUN device"), (999, "is not open"),
                                   ("2", "3 or higher"), ("x", "3 or higher"),
                                   (ready, "is the device ready0, but interface_name is other0")):
                with self.subTest(message=message):
                    done = self.lab.run("router", HAIRPIN, "run", "--tun-name", "other0", check=False,
                                        pass_fds=[ready, tap, informed, null.fileno()],
                                        env={**os.environ, "HAIRPIN_TUN_FD": str(value)})
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(message, done.stderr)


class Rules(LabTest):
    @by_listeners
    def test_the_kernel_lists_what_we_render(self):
        """Golden text is only worth something if it is what the kernel holds."""
        hairpin = self.lab.hairpin(capture=False)
        if LINK == "tun":
            listed = self.lab.run("router", "nft", "list", "table", "inet", "hairpin-hp0").stdout
        else:
            listed = self.lab.inside_of(hairpin, "nft", "list", "table", "inet", "hairpin").stdout
            listed = re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", listed)
            listed = re.sub(r"ether saddr != 02:\S+", "ether saddr != 02:00:00:00:00:01", listed)
        listed = re.sub(r"0x485000[0-9a-f]{2}", "0x48500007", listed)
        listed = re.sub(r" # progname \S+", "", listed)
        workers = listed.count("tproxy") // 2 - 1
        golden = os.path.join(os.path.dirname(__file__), "..", "golden", "nft", f"{LINK}-{workers}-udp.nft")
        with open(golden) as want:
            self.assertEqual(self.number_ports(listed), self.number_ports(want.read()))

    @staticmethod
    def number_ports(text):
        """Ports are what the kernel had free: the first, the second, …"""
        ports = list(dict.fromkeys(re.findall(r"tproxy ip6? to :(\d+)", text)))
        return re.sub(r"(tproxy ip6? to :)(\d+)", lambda match: match[1] + str(ports.index(match[2])), text)

    def test_a_table_for_many_processors(self):
        loader = self.lab.start("router", os.environ["HAIRPIN_APPLY_LARGE"], stdin=subprocess.PIPE)
        wait_for(lambda: loader.out() or loader.popen.poll() is not None, "the table")
        self.assertEqual(loader.out(), "loaded\n")
        listed = self.lab.run("router", "nft", "list", "table", "inet", "hairpin-hp0").stdout
        self.assertEqual(listed.count("tproxy"), 2 * (1 + 128))
        loader.popen.stdin.close()
        self.assertEqual(loader.wait(), 0)
        self.assertEqual(self.lab.run("router", "nft", "list", "ruleset").stdout, "")

    def test_a_flow_stays_on_its_queue(self):
        """Two threads that read packets of one flow would overtake each other. The kernel moves a flow to the
        queue on which it is answered; what we write to must not count as one."""
        done = self.lab.run("client", os.environ["HAIRPIN_TUN_QUEUES"]).stdout
        writer, queue = map(int, re.fullmatch(r"writer (\d+), queue (\d+) of 200\n", done).groups())
        self.assertEqual(writer, 0, done)
        self.assertGreater(queue, 100, done)  # or else there was nothing to see

    def test_own_traffic_is_refused_on_the_outer_device(self):
        """The administrator routes everything into the interface, our own connections too."""
        self.lab.nginx()
        hairpin = self.lab.hairpin({"type": "direct", "tag": "direct", "connect_timeout": "2s"})
        self.lab.ip("router", "rule del pref 1000")  # the rule that keeps our mark out
        self.lab.ip("router", "-6 rule del pref 1000")
        client = self.lab.socket("client")
        with self.assertRaisesRegex(OSError, "No route to host"):  # forbidden, says the ICMP error
            client.connect((TARGET4, 80))
        hairpin.wait_log("via direct failed: connect")
        counters = hairpin.counters()
        # A kernel that still holds the client's socket when the ICMP error arrives asks again.
        self.assertIn(counters["tcp_dial_failed"], (1, 2))
        self.assertEqual(counters.get("tcp_opened", 0), 0)
        self.assertLess(counters.get("outer_forwarded", 0), 20)

    def test_own_traffic_without_its_mark_is_recognised(self):
        """The mark is taken off on the way: then the connection itself is known."""
        self.lab.nginx()
        hairpin = self.lab.hairpin({"type": "direct", "tag": "direct", "connect_timeout": "2s"})
        self.lab.ip("router", "rule del pref 1000")
        self.lab.run("router", "nft", "add table inet wash; "
                     "add chain inet wash out { type route hook output priority -200; }; "
                     "add rule inet wash out meta mark 0x2024 meta mark set 0")
        client = self.lab.socket("client")
        with self.assertRaises(ConnectionRefusedError):
            client.connect((TARGET4, 80))
        hairpin.wait_log("is a connection of our own: it is routed back into the interface")
        self.assertLessEqual(hairpin.counters()["tcp_looped"], 3)
        self.lab.udp("client").sendto(b"x", (TARGET4, 7))
        hairpin.wait_log("is from a socket of our own")
        self.assertLessEqual(hairpin.counters()["udp_looped"], 3)

    @by_listeners
    def test_the_listeners_are_out_of_reach(self):
        """Whoever finds the port of a listener gets no answer from it."""
        hairpin = self.lab.hairpin()
        listening = self.lab.run("router", "ss", "-lnt").stdout
        if LINK == "veth":
            self.assertNotIn("LISTEN", listening)
            listening = self.lab.inside_of(hairpin, "ss", "-lnt").stdout
        port = int(re.search(r"%(?:hp0-in|hairpin):(\d+)", listening)[1])
        with self.assertRaises(ConnectionRefusedError):
            self.lab.socket("client").connect(("192.0.2.1", port))
        with self.assertRaises(ConnectionRefusedError):
            self.lab.socket("router").connect(("127.0.0.1", port))
        self.assertNotIn("tcp_opened", hairpin.counters())

    def test_input_policy_of_the_host(self):
        """A host firewall that drops by default. Over a veth it needs to know nothing of us: all that comes
        from it is established. Over a TUN it must accept what comes from the inner device (documented)."""
        self.lab.nginx()
        self.lab.dnsmasq()
        self.lab.hairpin()
        exception = "add rule inet fw in iifname hp0-in accept" if LINK == "tun" else ""
        self.lab.run("router", "nft", "add table inet fw; add chain inet fw in "
                     "{ type filter hook input priority 0; policy drop; }; "
                     "add rule inet fw in ct state established,related accept; "
                     f"add rule inet fw in meta l4proto ipv6-icmp accept; {exception}")
        for ns in ("router", "client"):
            for target in (TARGET4, f"[{TARGET6}]"):
                done = self.lab.run(ns, "curl", "-sS", "--max-time", "5", f"http://{target}/")
                self.assertEqual(done.stdout, "hello from nginx\n")
            asked = self.lab.run(ns, "dig", "+short", "+tries=1", "+time=5", f"@{TARGET4}", "www.test.example")
            self.assertEqual(asked.stdout, f"{TARGET4}\n")

    def test_a_server_of_the_host_on_every_port(self):
        """Programs of the host listen, on all addresses, on the very ports that clients use at either end."""
        hairpin = self.lab.hairpin()
        ports = (5201, 5202, 5203)
        for port in ports:
            self.lab.listen("::", port, ns="router")  # IPv4 too
        for target in (TARGET4, TARGET6):
            for ns in ("router", "client"):
                for source, port in ((0, 5201), (5202, 5202), (5202, 5203)):
                    with self.subTest(target=target, ns=ns, source=source, port=port):
                        server = self.lab.listen(target, port)
                        client = self.lab.socket(ns, socket.AF_INET6 if ":" in target else socket.AF_INET)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        if source and ns == "client":
                            client.bind(("", source))
                        client.connect((target, port))
                        served, _ = server.accept()
                        served.sendall(b"from the server")
                        self.assertEqual(client.recv(100), b"from the server")
                        for sock in (client, served, server):
                            sock.close()
        hairpin.wait_counters(tcp_opened=12)

    def test_administration_is_given_up(self):
        """CAP_SYS_ADMIN is of no use any more once the namespaces are made."""
        hairpin = self.lab.hairpin()
        privileged = []
        for task in os.listdir(f"/proc/{hairpin.pid}/task"):
            with open(f"/proc/{hairpin.pid}/task/{task}/status") as status:
                sets = dict(re.findall(r"^Cap(\w+):\s+(\w+)$", status.read(), re.M))
            if any(int(sets[name], 16) >> 21 & 1 for name in ("Inh", "Prm", "Eff", "Bnd")):
                privileged.append((task, sets))
        # ThreadSanitizer has a thread of its own, from before the program's beginning.
        with open(os.environ["HAIRPIN"], "rb") as program:
            own = 1 if b"__tsan_init" in program.read() else 0
        self.assertEqual(len(privileged), own, privileged)
        self.assertNotIn(str(hairpin.pid), dict(privileged))
        self.assertEqual(hairpin.stop(), 0)
        self.assertNotIn("warn", hairpin.log())


class Elsewhere(LabTest):
    """The interface in another namespace than hairpin's: a container's."""

    def test_netns(self):
        self.lab.nginx()
        self.lab.dnsmasq()
        self.lab.box_namespace()
        for given in (f"/run/netns/{self.lab.name('box')}", str(self.lab.box.pid)):
            with self.subTest(given=given):
                hairpin = self.lab.hairpin(capture=False, arguments=("--netns", given))
                self.assertNotIn("hp0", self.lab.run("router", "ip", "-o", "link").stdout)
                for family in ("-4", "-6"):
                    self.lab.ip("box", f"{family} route add default dev hp0")
                for target in (TARGET4, f"[{TARGET6}]"):
                    done = self.lab.run("box", "curl", "-sS", "--max-time", "5", f"http://{target}/")
                    self.assertEqual(done.stdout, "hello from nginx\n")
                asked = self.lab.run("box", "dig", "+short", "+tries=1", "+time=5", f"@{TARGET4}", "www.test.example")
                self.assertEqual(asked.stdout, f"{TARGET4}\n")
                self.assertEqual(hairpin.stop(), 0)
                self.assertNotIn("hp0", state(self.lab, "box"))
                self.assertNotIn("proto 72", state(self.lab, "box"))

    def test_our_own_namespace_by_another_name(self):
        """Then our sockets are where the interface is: marked, and kept out of it."""
        self.lab.nginx()
        hairpin = self.lab.hairpin(arguments=("--netns", f"/run/netns/{self.lab.name('router')}"))
        done = self.lab.run("client", "curl", "-sS", "--max-time", "5", f"http://{TARGET4}/")
        self.assertEqual(done.stdout, "hello from nginx\n")
        hairpin.wait_counters(tcp_opened=1)
        self.assertIn("chain loop", self.lab.run("router", "nft", "list", "ruleset").stdout)

    def test_a_namespace_without_a_way_back(self):
        """Rights in a user namespace are none over the network namespace outside: no veth can be made
        there, and nothing may be made in a place where nobody sees it."""
        done = self.lab.run("router", "unshare", "-Ur", HAIRPIN, "run", "--link", LINK, check=False)
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertNotIn("up:", done.stderr)

    def test_what_is_no_namespace(self):
        for given, message in (("/no/such", "No such file"), ("/etc/passwd", "is no network namespace"),
                               ("/proc/self/ns/mnt", "is no network namespace"), ("4194304", "No such process")):
            done = self.lab.run("router", HAIRPIN, "run", "--link", LINK, "--netns", given, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"hairpin: --netns: ", done.stderr)
            self.assertIn(message, done.stderr)


class Missing(LabTest):
    """One sentence that names what is missing and the cure."""

    def check(self, status, *messages, words=("run", "--link", LINK), wrap=()):
        done = self.lab.run("router", *wrap, HAIRPIN, *words, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for message in messages:
            self.assertIn(message, done.stderr)

    AS_NOBODY = ("setpriv", "--reuid", "65534", "--clear-groups", "--")
    EMPTY_DEV = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh")

    @staticmethod
    def without(*capabilities):
        names = ",".join(f"-{name}" for name in capabilities)
        return ("setpriv", "--bounding-set", names, "--inh-caps", names, "--")

    def test_no_capability(self):
        self.check(77, "CAP_NET_ADMIN", "run as root", wrap=self.without("net_admin"))

    def test_no_user_rights(self):
        self.check(77, "/dev/net/tun" if LINK == "tun" else "CAP_SYS_ADMIN", "run as root", wrap=self.AS_NOBODY)

    @over("tun", "system", "userspace")
    def test_no_dev_net_tun(self):
        self.check(69, "/dev/net/tun", "modprobe tun", wrap=self.EMPTY_DEV)

    def test_auto_has_neither(self):
        self.check(69, "no veth (setns(CLONE_NEWNET): Operation not permitted)", "/dev/net/tun", "modprobe tun",
                   words=("run",), wrap=(*self.EMPTY_DEV, *self.without("sys_admin")))

    @by_listeners
    def test_auto_falls_back_and_says_why(self):
        hairpin = self.lab.hairpin(tun={"link": "auto"}, wrap=self.without("sys_admin"))
        self.assertIn("(no veth: setns(CLONE_NEWNET): Operation not permitted)", hairpin.log())
        self.lab.nginx()
        done = self.lab.run("client", "curl", "-sS", "--max-time", "5", f"http://{TARGET4}/")
        self.assertEqual(done.stdout, "hello from nginx\n")

    def test_ipv6_is_disabled(self):
        self.lab.sysctl("router", "net.ipv6.conf.default.disable_ipv6=1")
        self.check(69, "IPv6 is disabled here", "disable_ipv6=0")


if __name__ == "__main__":
    main()
