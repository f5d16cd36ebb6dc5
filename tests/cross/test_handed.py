"""A program built for another processor, under qemu-user, on a real TUN: the userspace stack on a device that somebody
else has made. Topology: see netns/lab.py.

  tests/cross/test_handed.py PROGRAM [TEST...]

qemu exchanges the bytes of most of what a big-endian program tells this kernel, but of few attributes of rtnetlink, and
none of other netlink; so the device is handed over ready, as on a telephone. Nor does it exchange those of virtio
headers, which are of the kernel's order: a big-endian program has a device without. Rates are qemu's, not those of a
processor."""

import atexit
import fcntl
import json
import os
import pathlib
import shutil
import socket
import struct
import sys
import tempfile

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()
HEADER = PROGRAM.read_bytes()[:20]
BIG_ENDIAN = HEADER[5] == 2
MACHINE = struct.unpack(">H" if BIG_ENDIAN else "<H", HEADER[18:])[0]
QEMU = {(8, True): "qemu-mips-static", (8, False): "qemu-mipsel-static", (183, False): "qemu-aarch64-static"}

folder = tempfile.mkdtemp()
atexit.register(shutil.rmtree, folder)
wrapper = pathlib.Path(folder) / "hairpin"
wrapper.write_text(f'#!/bin/sh\nexec {QEMU[MACHINE, BIG_ENDIAN]} {PROGRAM} "$@"\n')
wrapper.chmod(0o755)
os.environ.update(HAIRPIN=str(wrapper), HAIRPIN_LINK="tun", HAIRPIN_STACK="userspace")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "netns"))
from lab import PROXY4, TARGET4, TARGET6, LabTest, main, need, wait_for  # noqa: E402

TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 1, 0x1000, 0x4000
PLAIN = IFF_TUN | IFF_NO_PI
BEST = PLAIN if BIG_ENDIAN else PLAIN | IFF_VNET_HDR


class Handed(LabTest):
    def start(self, *outbounds, flags=PLAIN):
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"ready0", flags))
            return fd

        fd = self.lab.in_namespace("router", make)
        os.set_inheritable(fd, True)
        self.lab.ip("router", "addr add 172.30.0.1/30 dev ready0")
        self.lab.ip("router", "addr add fd30::1/126 dev ready0 nodad")
        self.lab.ip("router", "link set ready0 up mtu 1500")
        # In another namespace than its device: qemu-user knows no marks of sockets (SO_MARK), which would keep its own
        # connections out.
        hairpin = self.lab.hairpin(*outbounds, tun={"interface_name": "ready0", "link": "auto"}, ns="server",
                                   capture=False, route={"default_mark": 0}, pass_fds=[fd],
                                   env={**os.environ, "HAIRPIN_TUN_FD": str(fd)})
        os.close(fd)
        hairpin.ns = "router"
        hairpin.capture()
        return hairpin

    def count(self, hairpin, name):
        """What does not go through hairpin takes the router's own way: a test that did not look would see nothing."""
        counters = hairpin.counters()
        self.assertNotIn("tun_write_error", counters)
        return counters.get(name, 0)

    def fetch(self, ns, url):
        return self.lab.run(ns, "curl", "-sS", "--max-time", "4", url, check=False)

    def test_pages_arrive_as_they_were(self):
        self.lab.nginx({"page": 2_000_000})
        page = (self.lab.folder / "www/page").read_bytes()
        for flags in sorted({PLAIN, BEST}):
            hairpin = self.start(flags=flags)
            for ns in ("router", "client"):
                for target in (TARGET4, f"[{TARGET6}]"):
                    with self.subTest(flags=flags, ns=ns, target=target):
                        out = self.lab.folder / "got"
                        self.lab.run(ns, "curl", "-sS", "--max-time", "30", "-o", out, f"http://{target}/page")
                        self.assertTrue(out.read_bytes() == page, "the page has changed on its way")
            self.assertEqual(self.count(hairpin, "tcp_opened"), 4)
            hairpin.stop()
            wait_for(lambda: "ready0" not in self.lab.run("router", "ip", "-o", "link").stdout, "device to go")

    def test_through_a_proxy(self):
        self.lab.nginx()
        self.lab.microsocks()
        hairpin = self.start({"type": "socks", "tag": "proxy", "server": PROXY4, "server_port": 1080})
        self.assertEqual(self.fetch("client", f"http://{TARGET4}/").stdout, "hello from nginx\n")
        self.assertEqual(self.count(hairpin, "tcp_opened"), 1)

    def test_datagrams(self):
        hairpin = self.start()
        server = self.lab.udp("server", TARGET4, 7)
        server.settimeout(5)
        for ns in ("router", "client"):
            client = self.lab.socket(ns, socket.AF_INET, socket.SOCK_DGRAM, 5)
            for size in (1, 1200, 4000):
                client.sendto(bytes(range(256)) * (size // 256) + b"x" * (size % 256), (TARGET4, 7))
                payload, sender = server.recvfrom(65535)
                self.assertEqual(len(payload), size)
                server.sendto(payload, sender)
                self.assertEqual(client.recvfrom(65535), (payload, (TARGET4, 7)))
        self.assertEqual(self.count(hairpin, "udp_opened"), 2)

    def test_rates(self):
        need("iperf3")
        hairpin = self.start(flags=BEST)
        self.lab.start("server", "iperf3", "-s", "-B", TARGET4)
        self.lab.wait_listening("server", 5201)
        for options in ((), ("-R",), ("-P", "8"), ("-P", "8", "-R")):
            done = self.lab.run("router", "iperf3", "-J", "-c", TARGET4, "-t", "3", *options, check=False)
            result = json.loads(done.stdout)
            self.assertNotIn("error", result)
            rate = result["end"]["sum_received"]["bits_per_second"] / 1e6
            print(f"iperf3 {' '.join(options) or '1 stream up':12} {rate:8.1f} Mbit/s", flush=True)
            self.assertGreater(rate, 1)
        self.assertEqual(self.count(hairpin, "tcp_opened"), 22)  # of each run one more to control it

    def test_refused_connections_are_refused(self):
        hairpin = self.start()
        done = self.fetch("client", f"http://{TARGET4}:81/")
        self.assertEqual(done.returncode, 7, done)  # CURLE_COULDNT_CONNECT
        self.assertEqual(self.count(hairpin, "tcp_dial_failed"), 1)


if __name__ == "__main__":
    main()
