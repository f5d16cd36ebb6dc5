"""Mixed load for a while: no byte wrong, no memory or descriptor kept. Topology: see lab.py.

HAIRPIN_SOAK_SECONDS says how long; scripts/soak runs it for hours.
"""

import hashlib
import os
import random
import socket
import struct
import threading
import time
from statistics import median

from lab import LabTest, OTHER4, PROXY4, TARGET4, TARGET6, main, need, wait_for

SECONDS = int(os.environ.get("HAIRPIN_SOAK_SECONDS", "25"))


class Soak(LabTest):
    def resident_kib(self):
        with open(f"/proc/{self.hairpin.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def keep(self, work, *args):
        """Runs `work` again and again until the time is over, on a thread of its own."""
        def loop():
            while time.monotonic() < self.end and not self.wrong:
                try:
                    work(*args)
                    self.done[work.__name__] = self.done.get(work.__name__, 0) + 1
                except (AssertionError, OSError, RuntimeError) as failure:
                    self.wrong.append(f"{work.__name__}{args}: {failure}")

        self.threads.append(threading.Thread(target=loop))

    def download(self, ns, address):
        done = self.lab.run(ns, "sh", "-c", f"curl -sS --max-time 30 http://{address}/page | sha256sum")
        assert done.stdout.split()[0] == self.sum, "other bytes"

    def short(self, ns, address):
        self.lab.run(ns, "curl", "-sS", "--max-time", "10", "--fail", "-o", "/dev/null", "-Z", "-H", "Connection: close",
                     *[f"http://{address}/?{n}" for n in range(20)])

    def ask(self, ns):
        done = self.lab.run(ns, "dig", "+short", "+tries=2", "+time=5", f"@{TARGET4}", "www.test.example")
        assert done.stdout == f"{TARGET4}\n", done.stdout

    def bulk(self, *options):
        self.lab.iperf("router", OTHER4, "-t", "1", *options)

    def reset(self):
        """Begins a download, reads some of it or nothing, and resets."""
        sock = self.lab.socket("client")
        self.lab.sockets.remove(sock)
        sock.connect((TARGET4, 80))
        sock.sendall(b"GET /page HTTP/1.0\r\n\r\n")
        for _ in range(random.randint(0, 20)):
            sock.recv(65536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def test_mixed_load(self):
        need("iperf3", "dig")
        self.lab.nginx({"page": 5_000_000})
        self.lab.dnsmasq()
        self.lab.dante()
        self.lab.start("server", "iperf3", "-s", "-B", OTHER4)
        self.sum = hashlib.sha256((self.lab.folder / "www" / "page").read_bytes()).hexdigest()
        self.hairpin = self.lab.hairpin(
            {"type": "socks", "tag": "socks", "server": PROXY4, "server_port": 1081}, {"type": "direct", "tag": "direct"},
            rules=[{"source_ip_cidr": "192.0.2.2/32", "outbound": "direct"}, {"ip_version": 6, "outbound": "direct"}],
            level="info")
        self.end = time.monotonic() + SECONDS
        self.wrong, self.done, self.threads = [], {}, []
        for ns in ("router", "client"):
            self.keep(self.download, ns, TARGET4)
            self.keep(self.download, ns, f"[{TARGET6}]")
            self.keep(self.short, ns, TARGET4)
            self.keep(self.ask, ns)
        self.keep(self.bulk, "-P", "4")
        self.keep(self.reset)
        for thread in self.threads:
            thread.start()
        samples = []
        while time.monotonic() < self.end and not self.wrong:
            time.sleep(SECONDS / 60)
            samples.append((self.resident_kib(), self.hairpin.descriptors()))
        for thread in self.threads:
            thread.join()
        self.assertEqual(self.wrong, [])
        third = len(samples) // 3
        middle, last = samples[third:2 * third], samples[2 * third:]
        # Flat: buffers that a burst has touched once may come late, a leak would go on. In user space a burst holds
        # some MiB for a moment, and there are more of them when a neighbour has ended: that moves the middle of what
        # was seen, or the least. What is kept for good moves both.
        grown = []
        for statistic in (min, median):
            memory = [statistic(kib for kib, _ in part) for part in (middle, last)]
            descriptors = [statistic(count for _, count in part) for part in (middle, last)]
            print(f"       {statistic.__name__}: KiB {memory}, descriptors {descriptors}", flush=True)
            grown.append((memory[1] >= memory[0] * 1.1 + 2048, descriptors[1] >= descriptors[0] * 1.3 + 100))
        print(f"       {self.done}", flush=True)
        self.assertFalse(all(memory for memory, _ in grown), "memory grows")
        self.assertFalse(all(descriptors for _, descriptors in grown), "descriptors grow")
        # And nothing is held when all is over but the pipes that are kept for the next flows.
        def over():
            counters = self.hairpin.counters()
            return all(counters[f"{kind}_opened"] == counters[f"{kind}_closed"] for kind in ("tcp", "udp"))

        wait_for(over, "all flows to end", 20)  # a question to a name server is kept for 10 s
        self.assertLess(self.hairpin.descriptors(), 64 + 2 * 64 * (os.cpu_count() or 1))


if __name__ == "__main__":
    main()
