"""hairpin inside another program: a TUN is handed over, and nothing else. Topology: see lab.py.

The TUN is the router's; the program that has hairpin in it is nobody's (uid 65534), without any capability, in
the server's network: as on a phone, where it cannot see the device either."""

import fcntl
import json
import os
import re
import struct
import subprocess
import time

from lab import HAIRPIN, LabTest, TARGET4, TARGET6, main, need, wait_for

EMBEDDED = os.environ.get("HAIRPIN_EMBEDDED", "")
TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 1, 0x1000, 0x4000


class Embedded:
    def __init__(self, lab, fd, config, *words, ns="server"):
        self.err = open(lab.folder / "embedded.err", "w+")
        self.popen = subprocess.Popen([*lab.inside(ns), EMBEDDED, str(fd), *words], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=self.err, text=True, pass_fds=[fd], bufsize=1)
        self.started = self.give(config)

    def give(self, config):
        text = config if isinstance(config, str) else json.dumps(config)
        return self.ask(text + "\n.")

    def ask(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        return self.popen.stdout.readline().rstrip("\n")

    def counters(self):
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", self.ask("counters"))}

    def rss(self):
        with open(f"/proc/{self.popen.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024

    def log(self):
        self.err.seek(0)
        return self.err.read()

    def close(self):
        self.popen.stdin.close()
        status = self.popen.wait(20)
        self.popen.stdout.close()
        log = self.log()
        self.err.close()
        return status, log


class Embed(LabTest):
    def make_tun(self, vnet=True, mtu=1500):
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR)
            flags = IFF_TUN | IFF_NO_PI | (IFF_VNET_HDR if vnet else 0)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"phone0", flags))
            return fd

        fd = self.lab.in_namespace("router", make)
        self.addCleanup(os.close, fd)
        self.lab.ip("router", "addr add 172.30.0.1/30 dev phone0")
        self.lab.ip("router", "addr add fd30::1/126 dev phone0 nodad")
        self.lab.ip("router", f"link set phone0 up mtu {mtu}")
        for family, network in (("-4", "203.0.113.0/24"), ("-6", "2001:db8:99::/64")):
            self.lab.ip("router", f"{family} route replace default dev phone0 table 1001")
            self.lab.ip("router", f"{family} rule add to {network} lookup 1001 pref 1001")
        return fd

    def config(self, **more):
        return {"log": {"level": "debug"},
                "inbounds": [{"type": "tun", "address": ["172.30.0.1/30", "fd30::1/126"]}],
                "outbounds": [{"type": "direct", "tag": "direct"}], **more}

    def start(self, *words, config=None, vnet=True, mtu=1500):
        program = Embedded(self.lab, self.make_tun(vnet, mtu), config or self.config(), *words)
        self.addCleanup(lambda: program.popen.poll() is None and program.close())
        return program

    def iperf(self, *words):
        end = self.lab.iperf("router", TARGET4, "-t", 2, *words)
        # Over UDP what is received is not told in bytes.
        self.assertLess(end["sum"]["lost_percent"] if "-u" in words else 0, 50)
        return end["sum" if "-u" in words else "sum_received"]["bits_per_second"] / 1e9

    def serve_iperf(self):
        need("iperf3")
        self.lab.start("server", "iperf3", "-s", "-B", TARGET4)
        self.lab.wait_listening("server", 5201)

    def check_iperf(self, vnet):
        """TCP and UDP, by somebody who has nothing but the descriptor."""
        self.serve_iperf()
        program = self.start(vnet=vnet)
        self.assertEqual(program.started, "0 ")
        with open(f"/proc/{program.popen.pid}/status") as status:
            text = status.read()
        self.assertRegex(text, r"Uid:\s65534\s65534")
        self.assertRegex(text, r"CapEff:\s0+\n")
        up = self.iperf("-P", 4)
        link = json.loads(self.lab.run("router", "ip", "-j", "-s", "link", "show", "phone0").stdout)[0]["stats64"]["tx"]
        # The windows fill the device's queue, and do not overflow it.
        self.assertLess(link["dropped"], link["packets"] / 1000, link)
        rates = up, self.iperf("-P", 4, "-R"), self.iperf("-u", "-b", "50M", "-l", "1200")
        print(f"       vnet={vnet}: {rates[0]:.1f} up, {rates[1]:.1f} down, UDP {rates[2]:.2f} Gbit/s", flush=True)
        self.assertGreater(rates[2], 0.025)
        wait_for(lambda: (c := program.counters())["tcp_opened"] == c["tcp_closed"], "all flows to end")
        # Each socket was shown.
        self.assertGreaterEqual(int(program.ask("protected")), program.counters()["tcp_opened"])
        status, log = program.close()
        self.assertEqual(status, 0, log[-3000:])

    def test_iperf_with_virtio_header(self):
        self.check_iperf(vnet=True)

    def test_iperf_of_plain_packets(self):
        self.check_iperf(vnet=False)

    def test_life(self):
        """Start, reload, stop, start again; and each of them out of turn."""
        self.lab.nginx()
        program = self.start()
        self.assertEqual(program.started, "0 ")
        fetch = lambda address: self.lab.run("router", "curl", "-sS", "--max-time", "3", f"http://{address}/", check=False)
        for address in (TARGET4, f"[{TARGET6}]"):
            self.assertEqual(fetch(address).stdout, "hello from nginx\n")
        self.assertRegex(program.ask("start\n" + json.dumps(self.config()) + "\n."), r"^-3 hairpin runs already$")
        blocked = self.config(outbounds=[{"type": "block", "tag": "block"}])
        self.assertEqual(program.ask("reload\n" + json.dumps(blocked) + "\n."), "0 ")
        self.assertNotEqual(fetch(TARGET4).returncode, 0)
        self.assertEqual(program.ask("stop"), "0 ")
        self.assertRegex(program.ask("stop"), r"^-3 ")
        self.assertRegex(program.ask("reload\n{}\n."), r"^-3 ")
        self.assertEqual(program.ask("counters"), "none")
        self.assertEqual(program.ask("start\n" + json.dumps(self.config()) + "\n."), "0 ")
        self.assertEqual(fetch(TARGET4).stdout, "hello from nginx\n")
        self.assertIn("tcp 172.30.0.1", program.log())

    def test_a_rule_set_that_changes(self):
        self.lab.nginx()
        rules = self.lab.folder / "rules.json"
        os.chmod(self.lab.folder, 0o755)

        def write(address):
            rules.with_suffix(".new").write_text(json.dumps({"version": 3, "rules": [{"ip_cidr": address}]}))
            os.chmod(rules.with_suffix(".new"), 0o644)
            rules.with_suffix(".new").rename(rules)

        write("192.0.2.99/32")
        self.start(config=self.config(route={
            "rule_set": [{"type": "local", "tag": "a", "format": "source", "path": str(rules)}],
            "rules": [{"rule_set": "a", "action": "reject"}]}))
        fetch = lambda: self.lab.run("router", "curl", "-sS", "--max-time", "3", f"http://{TARGET4}/", check=False)
        self.assertEqual(fetch().stdout, "hello from nginx\n")
        write(f"{TARGET4}/32")
        wait_for(lambda: fetch().returncode != 0, "the rule-set to be read again")

    def test_a_socket_that_may_not_be(self):
        self.lab.nginx()
        program = self.start()
        self.assertEqual(program.ask("refuse"), "ok")
        done = self.lab.run("router", "curl", "-sS", "--max-time", "3", f"http://{TARGET4}/", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("could not be kept out of the interface", program.log())

    def test_wrong_words(self):
        cases = (("{", "-1 "), ({"inbounds": []}, '-1 "inbounds" is missing'),
                 (self.config(outbounds=[{"type": "socks"}]), "-1 outbounds"),
                 ({**self.config(), "inbounds": [{"type": "tun", "address": "172.30.0.1/30", "auto_route": True}]},
                  "-1 inbounds[0].auto_route: the TUN's routes"),
                 (self.config(route={"auto_detect_interface": True}), "-1 route.auto_detect_interface: "))
        fd = self.make_tun()
        for config, message in cases:
            program = Embedded(self.lab, fd, config)
            self.assertTrue(program.started.startswith(message), program.started)
            program.close()
        null = os.open("/dev/null", os.O_RDWR)
        self.addCleanup(os.close, null)
        program = Embedded(self.lab, null, self.config())
        self.assertRegex(program.started, r"^-2 descriptor \d+ is not a TUN device")
        program.close()

    def test_memory_ceiling(self):
        """Clients that take nothing, and a server that takes nothing: what waits stays below the ceiling, and others go on."""
        self.lab.nginx({"page": 50_000_000})
        limit = 16 << 20
        program = self.start("--memory", str(limit))
        idle = program.rss()
        clients = []
        for _ in range(150):
            sock = self.lab.socket("router", timeout=5)
            sock.connect((TARGET4, 80))
            sock.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
            clients.append(sock)
        deaf = self.lab.listen(TARGET4, 9000)
        for _ in range(40):
            sock = self.lab.socket("router", timeout=5)
            sock.connect((TARGET4, 9000))
            sock.setblocking(False)
            try:
                for _ in range(200):
                    sock.send(bytes(100_000))
            except BlockingIOError:
                pass
            clients.append(sock)
        time.sleep(1)
        grown = program.rss() - idle
        print(f"       ceiling {limit >> 20} MiB, grown by {grown >> 20} MiB", flush=True)
        with open(f"/proc/{program.popen.pid}/maps") as maps:
            checked = re.search(r"lib[at]san", maps.read())
        # Sanitizers keep what is freed for a while, and notes on each byte. Without a ceiling it would be far more.
        self.assertLess(grown, limit * ({"libasan": 12, "libtsan": 24}[checked[0]] if checked else 2))
        done = self.lab.run("router", "curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{size_download}",
                            f"http://{TARGET4}/page")
        self.assertEqual(done.stdout, "50000000")
        deaf.close()

    def test_run_without_rights(self):
        """The same by `hairpin run`, which finds the descriptor in its environment."""
        self.serve_iperf()
        fd = self.make_tun()
        os.set_inheritable(fd, True)
        path = self.lab.folder / "run.json"
        config = self.config()
        config["inbounds"][0]["stack"] = "userspace"
        path.write_text(json.dumps(config))
        process = self.lab.start("server", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                                 "--inh-caps=-all", "--bounding-set=-all", HAIRPIN, "run", "-c", "/dev/stdin",
                                 stdin=open(path), pass_fds=[fd], env={**os.environ, "HAIRPIN_TUN_FD": str(fd)})
        wait_for(lambda: "up:" in process.err() or process.popen.poll() is not None, "hairpin")
        self.assertIsNone(process.popen.poll(), process.err())
        rate = self.iperf("-P", 2)
        print(f"       {rate:.1f} Gbit/s", flush=True)
        self.assertEqual(process.stop(), 0)


if __name__ == "__main__":
    main()
