"""The device library on a real kernel: what it says and does, seen by ip(8), by sockets and by the kernel's own
segmentation. device_driver.cc does what is said here; the examples are run as they are installed.

Two namespaces, "one" and "two", with nothing in them. The driver runs in "one".
"""

import array
import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import time

from lab import Lab, LabTest, main, need, sh, wait_for

DRIVER = os.environ["HAIRPIN_DEVICE_DRIVER"]
EXAMPLES = os.path.dirname(DRIVER)
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NAPI, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 1, 2, 0x10, 0x1000, 0x4000, 0x100
NO_HEADER = "00" * 10


class DeviceLab(Lab):
    def build(self):
        for ns in ("one", "two"):
            sh("ip", "netns", "add", self.name(ns))
            self.spaces.append(ns)
            self.ip(ns, "link set lo up")
            self.sysctl(ns, "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Driver:
    def __init__(self, lab, ns="one", **options):
        self.popen = subprocess.Popen(lab.inside(ns) + [DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, **options)

    def __call__(self, *words):
        self.popen.stdin.write(" ".join(map(str, words)) + "\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        outcome, _, rest = line.rstrip("\n").partition(" ")
        if outcome == "error":
            code, _, text = rest.partition(" ")
            raise Refused(int(code), text)
        assert outcome == "ok", f"the driver is gone: {line!r}"
        return rest

    def values(self, *words):
        return dict(word.split("=", 1) for word in self(*words).split())

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        code = self.popen.wait(5)
        self.popen.stdout.close()
        return code


# ---- packets, put together here --------------------------------------------------------------------------------------


def checksum(data, start=0):
    if len(data) % 2:
        data += b"\0"
    words = array.array("H", data)
    words.byteswap()
    total = start + sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def ip_packet(source, destination, protocol, body, ttl=64, number=7, flags=0):
    source, destination = address(source), address(destination)
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, ttl) + source + destination + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, flags, ttl, protocol, 0) + source + destination
    return head[:10] + struct.pack("!H", checksum(head) ^ 0xFFFF) + head[12:] + body


def pseudo(source, destination, protocol, size):
    return checksum(address(source) + address(destination) + struct.pack("!II", size, protocol))


def udp(source, destination, payload, ports=(4000, 5000), complete=True, **fields):
    size = 8 + len(payload)
    start = pseudo(source, destination, 17, size)
    body = struct.pack("!HHHH", *ports, size, 0) + payload
    total = (checksum(body, start) ^ 0xFFFF or 0xFFFF) if complete else start
    return ip_packet(source, destination, 17, body[:6] + struct.pack("!H", total) + body[8:], **fields)


def tcp(source, destination, payload, sequence=1000, flags=0x10, ports=(4000, 5000), complete=True, **fields):
    options = bytes([1, 1, 8, 10]) + struct.pack("!II", 1234, 5678)  # time stamps
    start = pseudo(source, destination, 6, 32 + len(payload))
    body = struct.pack("!HHIIBBHHH", *ports, sequence, 99, 0x80, flags, 512, 0, 0) + options + payload
    total = checksum(body, start) ^ 0xFFFF if complete else start
    return ip_packet(source, destination, 6, body[:16] + struct.pack("!H", total) + body[18:], **fields)


def vnet_header(kind, size, headers, start, offset):
    return struct.pack("=BBHHHH", 1, kind, headers, size, start, offset).hex()


def hopped(packet):
    """As a router hands it on."""
    packet = bytearray(packet)
    if packet[0] >> 4 == 6:
        packet[7] -= 1
        return bytes(packet)
    packet[8] -= 1
    packet[10:12] = b"\0\0"
    packet[10:12] = struct.pack("!H", checksum(bytes(packet[:20])) ^ 0xFFFF)
    return bytes(packet)


class DeviceTest(LabTest):
    def setUp(self):
        need("ip")
        self.lab = DeviceLab()
        self.addCleanup(self.lab.close)
        self.drivers = []
        self.addCleanup(self.close_drivers)

    def driver(self, ns="one", **options):
        driver = Driver(self.lab, ns, **options)
        self.drivers.append(driver)
        return driver

    def close_drivers(self):
        for driver in self.drivers:
            self.assertEqual(driver.close(), 0)

    def refused(self, code, *words):
        with self.assertRaises(Refused) as caught:
            self.say(*words)
        self.assertEqual(errno.errorcode.get(caught.exception.code), errno.errorcode[code], caught.exception)
        return str(caught.exception)

    @staticmethod
    def to_somebody(packet):
        """The kernel also says things of its own, to groups."""
        return packet[0] >> 4 == 4 and packet[16] < 224 or packet[0] >> 4 == 6 and packet[24] != 0xFF

    def read(self, device, wait=2000):
        """Header and packet: the next one to somebody."""
        while True:
            header, packet = (bytes.fromhex(word) for word in self.say("read", device, wait).split())
            if self.to_somebody(packet):
                return header, packet

    def read_batches(self, device, count):
        """As many packets to somebody."""
        batches, seen = [], 0
        while seen < count:
            packets = [bytes.fromhex(word) for word in self.say("read_batch", device, 2000).split()]
            batches.append([one for one in packets if self.to_somebody(one)])
            seen += len(batches[-1])
        self.assertEqual(seen, count)
        return batches

    def link(self, name, ns="one"):
        found = json.loads(self.lab.ip(ns, f"-j -d link show dev {name}").stdout)
        return found[0]

    def listed(self, name, ns="one"):
        """Addresses of an interface as text, as the driver says them."""
        found = json.loads(self.lab.ip(ns, f"-j addr show dev {name}").stdout)[0]["addr_info"]
        texts = []
        for one in found:
            text = f"{one['local']}/{one['prefixlen']}"
            if "address" in one:
                text += f",peer={one['address']}"
            if "broadcast" in one:
                text += f",broadcast={one['broadcast']}"
            texts.append(text)
        return sorted(texts)

    def exists(self, name, ns="one"):
        return self.lab.ip(ns, f"link show dev {name}", check=False).returncode == 0


class Settings(DeviceTest):
    def setUp(self):
        super().setUp()
        self.say = self.driver()

    def test_a_tun_with_all_that_can_be_asked_for(self):
        wanted = ["192.0.2.1/24", "198.51.100.1/32,peer=198.51.100.2", "203.0.113.1/24,broadcast=203.0.113.255",
                  "2001:db8:1::1/64", "2001:db8:2::1/128,peer=2001:db8:2::2"]
        self.say("open", "name=tun5", "mtu=1380", "queue_length=777", "owner=65534", "group=65533", "multi_queue=1",
                 *[f"address={one}" for one in wanted])
        link = self.link("tun5")
        self.assertEqual((link["mtu"], link["txqlen"]), (1380, 777))
        self.assertTrue({"UP", "LOWER_UP", "POINTOPOINT"} <= set(link["flags"]))
        data = link["linkinfo"]["info_data"]
        self.assertEqual((data["type"], data["pi"], data["vnet_hdr"], data["persist"]), ("tun", False, False, False))
        # Names where this host has some for these numbers.
        self.assertIn(data["user"], ("nobody", 65534))
        self.assertIn(data["group"], ("65533", 65533))
        self.assertEqual(self.listed("tun5"), sorted(wanted))  # and no address of the kernel's own
        self.assertEqual(sorted(self.say("addresses", 0).split()), sorted(wanted))
        self.assertEqual(int(self.say("index", 0)), link["ifindex"])
        self.assertEqual(self.say.values("state", 0),
                         {"name": "tun5", "mtu": "1380", "queue_length": "777", "up": "1", "running": "1"})

    def test_a_plain_one_is_up_and_gets_a_name(self):
        self.say("open")
        name = self.say("name", 0)
        self.assertRegex(name, r"^tun\d+$")
        self.assertIn("UP", self.link(name)["flags"])
        self.assertEqual(self.say.values("what", 0), {"tap": "0", "framing": "0", "offload": "0", "tcp": "0",
                                                      "udp": "0", "multi_queue": "0"})
        self.say("open", "name=down0", "up=0")
        self.assertNotIn("UP", self.link("down0")["flags"])
        self.say("close", 0)
        wait_for(lambda: not self.exists(name), "the device to go")

    def test_settings_are_changed_and_seen_while_it_runs(self):
        self.say("open", "name=tun5")
        self.say("change", 0, "mtu=1280", "queue_length=5")
        self.assertEqual((self.link("tun5")["mtu"], self.link("tun5")["txqlen"]), (1280, 5))
        self.say("change", 0, "up=0")
        self.assertNotIn("UP", self.link("tun5")["flags"])
        self.assertEqual(self.say.values("state", 0)["up"], "0")
        self.say("change", 0, "name=other5", "up=1")
        self.assertFalse(self.exists("tun5"))
        self.assertIn("UP", self.link("other5")["flags"])
        self.assertEqual(self.say("name", 0), "other5")
        # By others, too.
        self.lab.ip("one", "link set other5 down")
        self.lab.ip("one", "link set other5 name third5 mtu 1300")
        self.assertEqual(self.say.values("state", 0),
                         {"name": "third5", "mtu": "1300", "queue_length": "5", "up": "0", "running": "0"})
        self.refused(errno.EINVAL, "change", 0, "mtu=70000")
        self.refused(errno.EOPNOTSUPP, "change", 0, "mac=02:00:00:00:00:05")  # a TUN has none
        self.say("owner", 0, 0)
        self.say("group", 0, 65533)
        data = self.link("third5")["linkinfo"]["info_data"]
        self.assertIn(data["user"], ("root", 0))
        self.assertIn(data["group"], ("65533", 65533))

    def test_a_tap_has_a_hardware_address(self):
        self.say("open", "layer=tap", "name=tap5", "mac=02:00:5e:00:00:05", "address=192.0.2.1/24")
        link = self.link("tap5")
        self.assertEqual((link["address"], link["linkinfo"]["info_data"]["type"]), ("02:00:5e:00:00:05", "tap"))
        self.assertEqual(self.say.values("state", 0)["mac"], "02:00:5e:00:00:05")
        self.say("change", 0, "mac=02:00:5e:00:00:06")
        self.assertEqual(self.link("tap5")["address"], "02:00:5e:00:00:06")
        # Neighbours need its link-local address; a TUN has none unless it is asked for.
        wait_for(lambda: any(one.startswith("fe80:") for one in self.listed("tap5")), "a generated address")
        self.say("open", "layer=tap", "name=tap6", "generated=0")
        self.say("open", "name=tun6", "generated=1")
        wait_for(lambda: any(one.startswith("fe80:") for one in self.listed("tun6")), "a generated address")
        self.assertEqual(self.listed("tap6"), [])
        self.assertEqual(self.say("open", "layer=tap"), "3")
        self.assertRegex(self.say.values("state", 3)["mac"], r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")

    def test_addresses_come_and_go(self):
        self.say("open", "name=tun5", "address=192.0.2.1/24")
        for one in ("192.0.2.2/24", "192.0.2.3/24", "2001:db8::1/64", "198.51.100.1/32,peer=198.51.100.9"):
            self.say("add", 0, one)
        # The network of each is routed to it.
        routes = self.lab.ip("one", "route show dev tun5").stdout + self.lab.ip("one", "-6 route show dev tun5").stdout
        for network in ("192.0.2.0/24", "198.51.100.9", "2001:db8::/64"):
            self.assertIn(network, routes)
        # Without the first of a network its others stay, which the kernel would remove.
        self.say("remove", 0, "192.0.2.1")
        self.assertEqual(self.listed("tun5"), ["192.0.2.2/24", "192.0.2.3/24", "198.51.100.1/32,peer=198.51.100.9",
                                               "2001:db8::1/64"])
        self.say("remove", 0, "198.51.100.1")
        self.say("remove", 0, "2001:db8::1")
        self.assertEqual(self.listed("tun5"), ["192.0.2.2/24", "192.0.2.3/24"])
        self.refused(errno.EADDRNOTAVAIL, "remove", 0, "192.0.2.1")
        self.assertIn("192.0.2.2/24 to tun5", self.refused(errno.EEXIST, "add", 0, "192.0.2.2/24"))
        # All at once.
        wanted = ["192.0.2.3/24", "203.0.113.5/28", "2001:db8:5::1/64"]
        self.say("set", 0, *wanted)
        self.assertEqual(self.listed("tun5"), sorted(wanted))
        self.say("set", 0)
        self.assertEqual(self.listed("tun5"), [])

    def test_broadcast(self):
        self.say("open", "layer=tap", "name=tap5", "generated=0", "address=192.0.2.1/24,broadcast=192.0.2.255",
                 "address=192.0.2.2/24")
        self.assertEqual(self.listed("tap5"), ["192.0.2.1/24,broadcast=192.0.2.255", "192.0.2.2/24"])
        self.say("broadcast", 0, "192.0.2.2", "192.0.2.127")
        self.assertEqual(self.listed("tap5"), ["192.0.2.1/24,broadcast=192.0.2.255", "192.0.2.2/24,broadcast=192.0.2.127"])
        self.refused(errno.EADDRNOTAVAIL, "broadcast", 0, "192.0.2.9", "192.0.2.127")

    def test_without_ipv6_it_is_said_what_helps(self):
        self.lab.sysctl("one", "net.ipv6.conf.default.disable_ipv6=1")
        with self.assertRaisesRegex(Refused, "enable it .sysctl net.ipv6.conf.default.disable_ipv6=0"):
            self.say("open", "address=2001:db8::1/64")

    def test_a_persistent_device_outlives_whoever_made_it(self):
        self.say("open", "name=tun5", "persistent=1", "offload=1", "address=192.0.2.1/24")
        self.say("close", 0)
        self.assertTrue(self.link("tun5")["linkinfo"]["info_data"]["persist"])
        self.assertIn("tun5 exists already", self.refused(errno.EBUSY, "open", "name=tun5"))
        self.refused(errno.EINVAL, "open", "layer=tap", "name=tun5", "reuse=1")  # another kind
        self.say("open", "name=tun5", "reuse=1", "mtu=1500", "address=192.0.2.1/24")  # it has that
        # What its last owner could take, the kernel must not hand to this one.
        sender = self.lab.udp("one")
        sender.setsockopt(socket.IPPROTO_UDP, 103, 100)  # UDP_SEGMENT
        sender.sendto(bytes(300), ("192.0.2.9", 5000))
        for _ in range(3):
            self.assertEqual(len(self.say("read", 1, 1000).split()[1]) // 2, 128)
        self.say("persistent", 1, 0)
        self.say("close", 1)
        wait_for(lambda: not self.exists("tun5"), "the device to go")
        self.say("open", "name=tun5", "reuse=1")  # there is none: a new one
        self.say("persistent", 2, 1)
        self.assertTrue(self.link("tun5")["linkinfo"]["info_data"]["persist"])

    def test_what_cannot_be_made_is_said(self):
        self.assertIn("at most 15 characters", self.refused(errno.ENAMETOOLONG, "open", "name=sixteen-letters1"))
        self.refused(errno.EBUSY, "open", "name=lo")
        self.refused(errno.EINVAL, "open", "name=lo", "reuse=1")
        self.refused(errno.EADDRNOTAVAIL, "open", "layer=tap", "mac=01:00:00:00:00:00", "name=tap5")  # that of a group
        self.assertFalse(self.exists("tap5"))

    def test_many_queues(self):
        self.say("open", "name=tun5", "multi_queue=1", "address=192.0.2.1/24")
        self.assertEqual([self.say("clone", 0), self.say("clone", 1)], ["1", "2"])
        data = self.link("tun5")["linkinfo"]["info_data"]
        self.assertEqual((data["numqueues"], data["numdisabled"]), (3, 0))
        self.say("attached", 2, 0)
        data = self.link("tun5")["linkinfo"]["info_data"]
        self.assertEqual((data["numqueues"], data["numdisabled"]), (2, 1))
        # Flows are spread, and each keeps its queue.
        sender = [self.lab.udp("one", "192.0.2.1", 6000 + i) for i in range(40)]
        queue_of = {}
        for _ in range(2):
            for sock in sender:
                sock.sendto(b"x", ("192.0.2.9", 5000))
        for queue in (0, 1):
            with contextlib.suppress(Refused):
                while True:
                    packet = bytes.fromhex(self.say("read", queue, 0).split()[1])
                    port = struct.unpack("!H", packet[20:22])[0]
                    self.assertEqual(queue_of.setdefault(port, queue), queue)
        self.assertEqual(len(queue_of), 40)
        self.assertEqual(set(queue_of.values()), {0, 1})
        self.refused(errno.EAGAIN, "read", 2, 0)
        # What is detached can still write.
        receiver = self.lab.udp("one", "192.0.2.1", 7000)
        self.say("write", 2, udp("192.0.2.9", "192.0.2.1", b"hello", (1, 7000)).hex())
        self.assertEqual(receiver.recv(100), b"hello")
        self.say("shutdown", 1)
        self.refused(errno.ESHUTDOWN, "read", 1, "-")
        self.refused(errno.EAGAIN, "read", 0, 0)
        self.say("attached", 2, 1)
        self.assertEqual(self.link("tun5")["linkinfo"]["info_data"]["numdisabled"], 0)
        self.say("open", "name=tun6")
        self.refused(errno.EINVAL, "clone", 3)


class Packets(DeviceTest):
    def setUp(self):
        super().setUp()
        self.say = self.driver()

    def exchange(self, device="0"):
        """A datagram out, and an answer in, of both families."""
        for family, us, them in ((4, "192.0.2.1", "192.0.2.9"), (6, "2001:db8::1", "2001:db8::9")):
            sock = self.lab.udp("one", us, 6000)
            sock.sendto(b"question", (them, 5000))
            packet = self.read(device)[1]
            self.assertEqual(packet[0] >> 4, family)
            self.assertEqual(packet[-8:], b"question")
            self.say("write", device, udp(them, us, b"answer", (5000, 6000)).hex())
            self.assertEqual(sock.recv(100), b"answer")
            sock.close()

    def test_a_tun_carries_ip_packets(self):
        self.say("open", "address=192.0.2.1/24", "address=2001:db8::1/64")
        self.exchange()
        self.refused(errno.EINVAL, "write", 0, "55" * 40)
        self.say("change", 0, "up=0")
        self.refused(errno.EIO, "write", 0, udp("192.0.2.9", "192.0.2.1", b"x").hex())

    def test_batches(self):
        self.say("open", "address=192.0.2.1/24")
        sender, receiver = self.lab.udp("one"), self.lab.udp("one", "192.0.2.1", 7000)
        for i in range(100):
            sender.sendto(bytes([i]), ("192.0.2.9", 5000))
        batches = self.read_batches(0, 100)
        self.assertLess(len(batches), 10)
        self.assertEqual([one[-1] for batch in batches for one in batch], list(range(100)))
        packets = [udp("192.0.2.9", "192.0.2.1", bytes([i]), (1, 7000)) for i in range(50)]
        packets[20] = b"\x55" * 40  # not a packet: the others pass
        self.assertEqual(self.say("write_batch", 0, *[one.hex() for one in packets]), "49")
        self.assertEqual([receiver.recv(9)[0] for _ in range(49)], [*range(20), *range(21, 50)])
        self.refused(errno.EINVAL, "write_batch", 0, "55" * 40)

    def test_a_tap_carries_frames(self):
        self.say("open", "layer=tap", "name=tap5", "generated=0", "mac=02:00:00:00:00:01", "address=192.0.2.1/24")
        self.lab.ip("one", "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev tap5")
        sock = self.lab.udp("one", "192.0.2.1", 6000)
        sock.sendto(b"question", ("192.0.2.9", 5000))
        head = bytes.fromhex("020000000009" "020000000001" "0800")
        while True:  # a new interface says something of its own as well
            frame = bytes.fromhex(self.say("read", 0, 2000).split()[1])
            if frame[:14] == head:
                break
        self.assertEqual(frame[-8:], b"question")
        answer = udp("192.0.2.9", "192.0.2.1", b"answer", (5000, 6000))
        self.say("write", 0, (bytes.fromhex("020000000001" "020000000009" "0800") + answer).hex())
        self.assertEqual(sock.recv(100), b"answer")

    def test_waits_end(self):
        self.say("open", "address=192.0.2.1/24")
        self.refused(errno.EAGAIN, "read", 0, 0)
        begun = time.monotonic()
        self.refused(errno.ETIMEDOUT, "read", 0, 100)
        self.assertGreaterEqual(time.monotonic() - begun, 0.1)
        self.refused(errno.ETIMEDOUT, "read_batch", 0, 20)
        self.say("begin_read", 0)
        self.say("interrupt")
        self.refused(errno.EINTR, "end_read")
        self.say("reset")
        self.say("begin_read", 0)
        self.lab.udp("one").sendto(b"x", ("192.0.2.9", 1))
        self.assertEqual(self.say("end_read").split()[1][-2:], b"x".hex())
        self.say("begin_read", 0)
        time.sleep(0.05)
        self.say("shutdown", 0)
        self.refused(errno.ESHUTDOWN, "end_read")
        self.refused(errno.ESHUTDOWN, "write", 0, udp("192.0.2.9", "192.0.2.1", b"x").hex())

    def test_a_device_that_is_removed_ends_reads(self):
        self.say("open", "name=tun5")
        self.say("begin_read", 0)
        self.lab.ip("one", "link del tun5")
        with self.assertRaises(Refused):
            self.say("end_read")

    # ---- handed over -------------------------------------------------------------------------------------------------

    def made_by_others(self, flags, name=b"ready0"):
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name, flags))
            return fd
        fd = self.lab.in_namespace("one", make)
        self.addCleanup(os.close, fd)
        self.lab.ip("one", f"addr add 192.0.2.1/24 dev {name.decode()}")
        self.lab.ip("one", f"link set {name.decode()} up addrgenmode none")
        self.lab.ip("one", f"addr add 2001:db8::1/64 dev {name.decode()} nodad")
        return fd

    def test_a_device_that_is_handed_over(self):
        plain = self.made_by_others(IFF_TUN | IFF_NO_PI)
        with open("/dev/null") as null:
            self.say = self.driver(pass_fds=[plain, null.fileno()])
            self.assertIn("is not a TUN device", self.refused(errno.ENOTTY, "adopt", null.fileno()))
        self.assertIn("is not open", self.refused(errno.EBADF, "adopt", 999))
        with self.assertRaisesRegex(Refused, "is the device ready0, not tun9"):
            self.say("adopt", plain, "name=tun9")
        self.say("adopt", plain, "name=ready0")
        self.assertEqual(self.say.values("what", 0)["framing"], "0")
        self.assertEqual(int(self.say("index", 0)), self.link("ready0")["ifindex"])
        self.exchange()

    def test_packet_information_is_found_taken_away_and_added(self):
        with_it = self.made_by_others(IFF_TUN)
        self.say = self.driver(pass_fds=[with_it])
        self.say("adopt", with_it)
        self.assertEqual(self.say.values("what", 0)["framing"], "1")
        self.exchange()
        # Whoever wants to see it sees it, here as from a device that has none.
        self.say("open", "name=tun6", "address=198.51.100.1/24")
        for device, us, them in ((0, "192.0.2.1", "192.0.2.9"), (1, "198.51.100.1", "198.51.100.9")):
            self.say("information", device, 1)
            sock = self.lab.udp("one", us, 6000)
            sock.sendto(b"question", (them, 5000))
            packet = bytes.fromhex(self.say("read", device, 2000).split()[1])
            self.assertEqual(packet[:5].hex(), "0000080045")
            self.say("write", device, "00000800" + udp(them, us, b"answer", (5000, 6000)).hex())
            self.assertEqual(sock.recv(100), b"answer")
            sock.close()
        self.say("open", "offload=1")
        self.refused(errno.ENOTSUP, "information", 2, 1)

    def test_offload_of_a_device_that_is_handed_over(self):
        ready = self.made_by_others(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
        self.say = self.driver(pass_fds=[ready])
        self.say("adopt", ready)
        self.assertEqual(self.say.values("what", 0), {"tap": "0", "framing": "0", "offload": "1", "tcp": "1",
                                                      "udp": "1", "multi_queue": "1"})
        self.say("clone", 0)
        self.assertEqual(self.link("ready0")["linkinfo"]["info_data"]["numqueues"], 2)


class Offload(DeviceTest):
    """A router: what comes in by "in0", which takes large packets, goes out by "out0", which does not. So the kernel has
    to cut, and says so how it is done."""

    ENDS = {4: ("192.0.2.7", "198.51.100.7"), 6: ("2001:db8:1::7", "2001:db8:2::7")}

    def setUp(self):
        super().setUp()
        self.say = self.driver()
        self.say("open", "name=in0", "offload=1", "mtu=1500", "address=192.0.2.1/24", "address=2001:db8:1::1/64")
        self.say("open", "name=out0", "mtu=1500", "address=198.51.100.1/24", "address=2001:db8:2::1/64")
        self.lab.sysctl("one", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                        "net.ipv4.conf.in0.rp_filter=0", "net.ipv4.conf.out0.rp_filter=0")
        self.assertEqual(self.say.values("what", 0)["tcp"], "1")
        self.assertEqual(self.say.values("what", 0)["udp"], "1")  # Linux 6.2

    def from_out(self, count):
        return [self.read(1)[1] for _ in range(count)]

    def large(self, family, kind, payload, size, flags=0x18):
        source, destination = self.ENDS[family]
        start = 20 if family == 4 else 40
        if kind == "tcp":
            packet = tcp(source, destination, payload, flags=flags, complete=False, number=65534)
            return packet, vnet_header(1 if family == 4 else 4, size, start + 32, start, 16)
        packet = udp(source, destination, payload, complete=False, number=65534)
        return packet, vnet_header(5, size, start + 8, start, 6)

    def test_we_cut_as_the_kernel_cuts(self):
        for family in (4, 6):
            for kind in ("tcp", "udp"):
                for size, length in ((1400, 1401), (1000, 40000), (1000, 3000), (88, 3333), (1400, 700)):
                    if length // size >= 64 and kind == "udp":
                        continue
                    with self.subTest(family=family, kind=kind, size=size, length=length):
                        packet, header = self.large(family, kind, os.urandom(length), size, flags=0x19)
                        self.say("write", 0, header, packet.hex())
                        ours = [bytes.fromhex(one) for one in self.say("cut", header, packet.hex()).split()]
                        self.assertEqual(len(ours), -(-length // size))
                        self.assertEqual(self.from_out(len(ours)), [hopped(one) for one in ours])

    def test_the_kernel_cuts_what_we_put_together_into_what_it_was(self):
        for family in (4, 6):
            source, destination = self.ENDS[family]
            sizes = [1200] * 30 + [333]
            packets = {"tcp": [], "udp": []}
            sequence = 2**32 - 5000
            for i, size in enumerate(sizes):
                payload = os.urandom(size)
                packets["tcp"].append(tcp(source, destination, payload, sequence, 0x18 if size == 333 else 0x10,
                                          number=(65530 + i) & 0xFFFF))
                packets["udp"].append(udp(source, destination, payload, number=(65530 + i) & 0xFFFF))
                sequence = (sequence + size) % 2**32
            for kind in ("tcp", "udp"):
                with self.subTest(family=family, kind=kind):
                    joined = self.say("join", *[one.hex() for one in packets[kind]]).split()
                    self.assertEqual(len(joined), 2)
                    self.assertEqual(len(joined[1]) // 2, sum(sizes) + len(packets[kind][0]) - 1200)
                    # By itself, as a batch does it.
                    self.assertEqual(self.say("write_batch", 0, *[one.hex() for one in packets[kind]]), "31")
                    self.assertEqual(self.from_out(31), [hopped(one) for one in packets[kind]])

    def test_we_put_together_what_the_kernel_puts_together(self):
        """A third device hands packets to the kernel's GRO (IFF_NAPI), which keeps them for a moment; the large packet
        leaves by "in0"."""
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"napi0", IFF_TUN | IFF_NO_PI | IFF_NAPI))
            return fd
        napi = self.lab.in_namespace("one", make)
        self.addCleanup(os.close, napi)
        self.lab.run("one", "sh", "-c", "echo 1 > /sys/class/net/napi0/napi_defer_hard_irqs; "
                     "echo 50000000 > /sys/class/net/napi0/gro_flush_timeout")
        self.lab.ip("one", "link set napi0 up")
        self.lab.sysctl("one", "net.ipv4.conf.napi0.rp_filter=0")
        for family, (source, destination) in {4: ("203.0.113.7", "192.0.2.7"),
                                              6: ("2001:db8:3::7", "2001:db8:1::7")}.items():
            packets = [tcp(source, destination, os.urandom(1000), 5000 + 1000 * i, 0x18 if i == 9 else 0x10, number=7 + i)
                       for i in range(10)]
            for packet in packets:
                os.write(napi, packet)
            header, packet = self.read(0)
            ours_header, ours = map(bytes.fromhex, self.say("join", *[one.hex() for one in packets]).split())
            self.assertEqual(packet, hopped(ours))
            # All but the third, which is a hint: how much the kernel has in one piece.
            self.assertEqual(header[:2] + header[4:], ours_header[:2] + ours_header[4:])

    def test_what_the_kernel_hands_out_is_cut_in_batches(self):
        sender = self.lab.udp("one", "192.0.2.1", 6000)
        sender.setsockopt(socket.IPPROTO_UDP, 103, 100)  # UDP_SEGMENT
        payload = os.urandom(2050)
        sender.sendto(payload, ("192.0.2.9", 5000))
        header, packet = self.read(0)
        self.assertEqual(len(packet), 28 + 2050)
        self.assertEqual(struct.unpack("=BBHHHH", header)[1:4:2], (5, 100))
        sender.sendto(payload, ("192.0.2.9", 5000))
        batch = sum(self.read_batches(0, 21), [])
        self.assertEqual(b"".join(one[28:] for one in batch), payload)
        for one in batch:
            self.assertEqual(checksum(one[:20]), 0xFFFF)
            self.assertEqual(checksum(one[20:], pseudo("192.0.2.1", "192.0.2.9", 17, len(one) - 20)), 0xFFFF)
        # More segments than a batch has room for: the rest is in the next one.
        sender.setsockopt(socket.IPPROTO_UDP, 103, 20)
        for _ in range(2):
            sender.sendto(bytes(1200), ("192.0.2.9", 5000))
        self.assertGreaterEqual(len(self.read_batches(0, 120)), 2)

    def test_without_udp_where_it_is_not_wanted(self):
        self.say("open", "name=tcp0", "offload=1", "offload_udp=0")
        self.assertEqual((self.say.values("what", 2)["tcp"], self.say.values("what", 2)["udp"]), ("1", "0"))
        packets = [udp(*self.ENDS[4], bytes(500), number=i) for i in range(4)]
        self.say("write_batch", 2, *[one.hex() for one in packets])

    def test_it_is_said_when_a_header_is_missing_or_impossible(self):
        packet, header = self.large(4, "tcp", bytes(3000), 1000)
        self.refused(errno.ENOTSUP, "write", 1, header, packet.hex())
        with self.assertRaisesRegex(Refused, "contradiction"):
            self.say("cut", header, packet[:40].hex())


class Examples(DeviceTest):
    def run_example(self, name, *arguments, ready):
        process = self.lab.start("one", os.path.join(EXAMPLES, name), *arguments)
        wait_for(lambda: ready in process.out() or process.popen.poll() is not None, f"{name} to start")
        self.assertIn(ready, process.out(), process.err())
        return process

    def test_icmp_responder(self):
        need("ping")
        self.run_example("icmp_responder", "tun5", ready="tun5 is up")
        for target, size in (("198.51.100.77", 56), ("198.51.100.200", 1400), ("2001:db8:100::77", 56)):
            self.lab.run("one", "ping", "-c", "2", "-i", "0.01", "-W", "2", "-s", size, target)

    def moved(self, name, ns, *addresses):
        self.lab.ip("one", f"link set {name} netns {self.lab.name(ns)}")
        for one in addresses:
            self.lab.ip(ns, f"addr add {one} dev {name}" + (" nodad" if ":" in one else ""))
        self.lab.ip(ns, f"link set {name} up")

    def test_tap_bridge(self):
        need("ping")
        sh("ip", "netns", "add", self.lab.name("three"))
        self.lab.spaces.append("three")
        self.run_example("tap_bridge", "tap0", "tap1", "tap2", ready="3 ports")
        for i, ns in enumerate(("one", "two", "three")):
            self.moved(f"tap{i}", ns, f"192.0.2.{i + 1}/24", f"2001:db8::{i + 1}/64")
        for target in ("192.0.2.2", "192.0.2.3", "2001:db8::2", "2001:db8::3"):
            self.lab.run("one", "ping", "-c", "2", "-i", "0.01", "-W", "2", target)
        self.lab.run("two", "ping", "-c", "2", "-i", "0.01", "-W", "2", "192.0.2.3")
        # It has learnt: what two of them say to each other the third does not hear.
        def heard():
            return json.loads(self.lab.ip("three", "-j -s link show dev tap2").stdout)[0]["stats64"]["rx"]["packets"]
        before = heard()
        self.lab.run("one", "ping", "-c", "20", "-i", "0.005", "-W", "2", "192.0.2.2")
        self.assertLess(heard() - before, 20)

    def carried(self, *arguments):
        need("iperf3")
        self.run_example("tun_pair", *arguments, "tun0", "tun1", ready="up")
        self.moved("tun0", "one", "192.0.2.1/24", "2001:db8::1/64")
        self.moved("tun1", "two", "192.0.2.2/24", "2001:db8::2/64")
        self.lab.start("two", "iperf3", "-s")
        self.lab.wait_listening("two", 5201)
        speeds = {}
        for name, words in {"up": ("192.0.2.2",), "down": ("192.0.2.2", "-R"), "v6": ("2001:db8::2",)}.items():
            received = self.lab.iperf("one", *words, "-n", "100M")["sum_received"]
            self.assertGreaterEqual(received["bytes"], 90_000_000, name)
            speeds[name] = f"{received['bits_per_second'] / 1e9:.2f} Gbit/s"
        print(speeds)
        # Fewer datagrams than the device's queue holds: none is lost, and they keep their order.
        for us, them in (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")):
            sender, receiver = self.lab.udp("one", us), self.lab.udp("two", them, 7000)
            receiver.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
            for i in range(200):
                sender.sendto(struct.pack("!H", i) + bytes(i * 6), (them, 7000))
            got = [receiver.recv(2000) for _ in range(200)]
            self.assertEqual([struct.unpack("!H", one[:2])[0] for one in got], list(range(200)))
            self.assertEqual([len(one) for one in got], [2 + i * 6 for i in range(200)])
            sender.close()
            receiver.close()

    def test_tun_pair(self):
        self.carried()

    def test_tun_pair_that_cuts(self):
        self.carried("cut")

    def test_tun_pair_that_hands_on_whole_packets(self):
        self.carried("whole")


class NameServers(DeviceTest):
    """systemd-resolved's part is played by another program (resolved_double.cc), on a bus of its own."""

    def setUp(self):
        need("dbus-daemon")
        super().setUp()
        path = self.lab.folder / "bus"
        config = self.lab.folder / "bus.conf"
        config.write_text(f"""<busconfig><type>system</type><listen>unix:path={path}</listen>
            <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
            <allow user="*"/></policy></busconfig>""")
        self.lab.start("one", "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile")
        wait_for(path.exists, "the bus")
        self.environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={path}"}
        self.say = self.driver(env=self.environment)

    def double(self):
        process = self.lab.start("one", os.environ["HAIRPIN_RESOLVED_DOUBLE"], env=self.environment)
        wait_for(lambda: "ready" in process.out(), "the double")
        return lambda: process.out().splitlines()[1:]

    def test_servers_and_domains(self):
        said = self.double()
        self.say("set_dns", 7, "server=192.0.2.53", "server=2001:db8::53", "domain=.", "search=corp.example", "default=1")
        self.assertEqual(said(), ["SetLinkDNS 7 192.0.2.53 2001:db8::53", "SetLinkDomains 7 ~. corp.example",
                                  "SetLinkDefaultRoute 7 yes"])
        self.assertEqual(self.say("dns", 7), "server=192.0.2.53#0# server=2001:db8::53#0# domain=. "
                                             "search=corp.example default=1")
        self.say("set_dns", 7, "server=192.0.2.53#853#dns.example", "server=2001:db8::53", "default=0")
        self.assertEqual(said()[3:], ["SetLinkDNSEx 7 192.0.2.53#853#dns.example 2001:db8::53#0#", "SetLinkDomains 7",
                                      "SetLinkDefaultRoute 7 no"])
        self.assertEqual(self.say("dns", 7), "server=192.0.2.53#853#dns.example server=2001:db8::53#0# default=0")
        self.say("revert_dns", 7)
        self.assertEqual(said()[6:], ["RevertLink 7"])
        self.assertEqual(self.say("dns", 7), "default=0")

    def test_what_goes_wrong_is_said(self):
        text = self.refused(errno.EHOSTUNREACH, "set_dns", 7, "server=192.0.2.53")
        self.assertIn("systemctl start systemd-resolved", text)
        self.double()
        self.assertIn("Link 99 not known", self.refused(errno.ENODEV, "set_dns", 99, "server=192.0.2.53"))
        self.assertIn("Link 99 not known", self.refused(errno.ENODEV, "dns", 99))
        self.say = self.driver(env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"})
        self.refused(errno.ENOENT, "revert_dns", 7)


if __name__ == "__main__":
    main()
