"""Many flows, and too many. Topology: see lab.py."""

import os
import resource
import socket
import struct
import time

from lab import LabTest, STACK, TARGET4, main, wait_for

# What ends in user space needs both ends of a socket pair, beside the outbound's socket.
EACH = 3 if STACK == "userspace" else 2
FLOWS = 19_000 // EACH // 500 * 500  # opened 500 at a time
SOURCES = ["192.0.2.2", "192.0.2.3"]


class Peer:
    """Accepts all that comes, in a process of its own: one process may not open enough descriptors."""

    CODE = """
import select, socket, sys
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("{address}", 7)); listener.listen(4096)
poll, socks = select.epoll(), {{listener.fileno(): listener}}
poll.register(listener, select.EPOLLIN)
print("ready", flush=True)
while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            sock, _ = listener.accept(); socks[sock.fileno()] = sock; poll.register(sock, select.EPOLLIN)
            continue
        try: data = socks[fd].recv(100)
        except OSError: data = b""
        if data: socks[fd].sendall(data)
        else: socks.pop(fd).close()
"""

    def __init__(self, lab, address):
        self.process = lab.start("server", "python3", "-c", self.CODE.format(address=address))
        wait_for(lambda: "ready" in self.process.out(), "the peer")


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


class Limits(LabTest):
    def setUp(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        super().setUp()

    def dial(self):
        sock = self.lab.socket("client")
        sock.connect((TARGET4, 7))
        return sock

    def alive(self, sock):
        sock.sendall(b"ping")
        return sock.recv(10) == b"ping"

    def test_idle_connections_survive_short_ones(self):
        """What is held is not forgotten for what passes: there is no table that could be full."""
        Peer(self.lab, TARGET4)
        self.lab.hairpin(level="info")
        held = [self.dial() for _ in range(200)]
        self.assertTrue(all(map(self.alive, held)))
        for _ in range(self.SHORT // 100):
            # Reset at the end: the ports of the client are free again at once.
            short = [self.dial() for _ in range(100)]
            for sock in short:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.assertTrue(self.alive(sock))
                sock.close()
            del self.lab.sockets[-100:]
        self.assertEqual(sum(map(self.alive, held)), 200)

    def test_data_right_behind_the_handshake(self):
        """One thread may not overtake another with packets of one flow: the kernel resets a connection
        whose first data is handled beside the end of its handshake. Many, because few show it."""
        Peer(self.lab, TARGET4)
        self.lab.hairpin(level="info")
        code = f"""
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = []
for number in range(4000):
    sock = socket.create_connection(("{TARGET4}", 7)); sock.send(b"x")
    if sock.recv(1) != b"x": sys.exit(f"connection {{number}}: ended")
    held.append(sock)
"""
        self.lab.run("router", "python3", "-c", code)

    SHORT = int(os.environ.get("HAIRPIN_SHORT_FLOWS", "5000"))

    def test_thousands_of_flows(self):
        need = EACH * FLOWS + 100
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < need:
            self.fail(f"the hard limit of open files is below {need}")
        Peer(self.lab, TARGET4)
        hairpin = self.lab.hairpin(level="info")
        idle = resident_kib(hairpin.pid)
        base = hairpin.descriptors()
        socks = []
        # Sockets are opened by a helper in the namespace, a thousand at a time.
        while len(socks) < FLOWS:
            batch = self.lab.in_namespace("client", lambda: [socket.socket() for _ in range(500)])
            for sock in batch:
                sock.settimeout(20)
                sock.connect((TARGET4, 7))
            socks += batch
        self.lab.sockets += socks
        for sock in socks:
            sock.sendall(b"ping")
        for sock in socks:
            self.assertEqual(sock.recv(10), b"ping")
        wait_for(lambda: hairpin.descriptors() == base + EACH * FLOWS, "what flows have open, and no more")
        full = resident_kib(hairpin.pid)
        print(f"       RSS idle {idle} KiB, with {FLOWS} idle flows {full} KiB "
              f"({(full - idle) / FLOWS:.2f} KiB each)", flush=True)
        # All alive, and closing gives everything back.
        self.assertTrue(all(self.alive(sock) for sock in socks[::100]))
        for sock in socks:
            sock.close()
        wait_for(lambda: hairpin.descriptors() == base, "all descriptors to be closed", 30)

    def test_out_of_descriptors(self):
        Peer(self.lab, TARGET4)
        hairpin = self.lab.hairpin(level="info", wrap=("prlimit", "--nofile=150:150", "--"))
        old, refused = [], 0
        for _ in range(100):
            sock = self.lab.socket("client", timeout=5)
            try:
                sock.connect((TARGET4, 7))
                self.assertTrue(self.alive(sock))
                old.append(sock)
            except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                refused += 1  # with RST, and at once: a timeout would fail the test
        self.assertGreater(refused, 30)
        self.assertGreater(len(old), 40)
        counters = hairpin.counters()
        self.assertEqual(counters["tcp_no_descriptor"], refused)
        # The old ones live, and as soon as some are gone new ones are taken.
        self.assertTrue(all(self.alive(sock) for sock in old))
        full = hairpin.descriptors()
        for sock in old[:10]:
            sock.close()
        wait_for(lambda: hairpin.descriptors() <= full - 10, "their descriptors to be closed")
        self.assertTrue(all(self.alive(self.dial()) for _ in range(8)))

    def test_descriptor_limit_is_raised(self):
        hairpin = self.lab.hairpin(wrap=("prlimit", "--nofile=64:5000", "--"))
        with open(f"/proc/{hairpin.pid}/limits") as limits:
            line = next(l for l in limits if l.startswith("Max open files"))
        self.assertEqual(line.split()[3:5], ["5000", "5000"])


if __name__ == "__main__":
    main()
