"""hairpin exec: a command whose only way out is hairpin. Topology: see lab.py."""

import os
import pty
import re
import signal
import subprocess
import time

from lab import DEVICES, HAIRPIN, KIND, LabTest, PROXY4, TARGET4, TARGET6, main, need, over, sh, wait_for


class Exec(LabTest):
    def exec(self, *words, options=(), check=False, **more):
        return self.lab.run("router", HAIRPIN, "exec", *KIND, *options, "--", *words, check=check, **more)

    def test_the_commands_status_is_ours(self):
        for status in (0, 1, 42, 255):
            self.assertEqual(self.exec("sh", "-c", f"exit {status}").returncode, status)
        self.assertEqual(self.exec("sh", "-c", "kill -9 $$").returncode, 128 + 9)
        self.assertEqual(self.exec("sh", "-c", "kill -TERM $$").returncode, 128 + 15)
        missing = self.exec("no-such-program")
        self.assertEqual(missing.returncode, 127)
        self.assertEqual(missing.stderr, "hairpin: no-such-program: No such file or directory\n")
        self.assertEqual(self.exec("/etc/passwd").returncode, 126)

    def test_streams_pass(self):
        done = self.exec("sh", "-c", "cat; echo err >&2", input="through stdin\n")
        self.assertEqual((done.stdout, done.stderr), ("through stdin\n", "err\n"))

    def test_signals_pass(self):
        for name in ("TERM", "HUP", "INT", "QUIT", "USR1", "USR2"):
            process = self.lab.start("router", HAIRPIN, "exec", *KIND, "--", "sh", "-c",
                                     f"trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done")
            wait_for(lambda: "ready" in process.out(), "command")
            os.kill(process.pid, getattr(signal, "SIG" + name))
            self.assertEqual(process.wait(), 7)
            self.assertIn(f"got {name}", process.out())

    def test_terminal_passes(self):
        """The command has the terminal; Ctrl-C reaches it once, and hairpin exits as it does."""
        main_end, its_end = pty.openpty()
        script = "trap 'echo caught; exit 9' INT; tty; test -t 0 && echo terminal; while :; do sleep 0.05; done"
        process = subprocess.Popen(
            self.lab.inside("router") + ["setsid", "-c", "-w", HAIRPIN, "exec", *KIND, "--", "sh", "-c", script],
            stdin=its_end, stdout=its_end, stderr=its_end)
        self.addCleanup(process.kill)
        seen = b""

        def read_until(text):
            nonlocal seen
            end = time.monotonic() + 10
            while text not in seen and time.monotonic() < end:
                seen += os.read(main_end, 1000)
            self.assertIn(text, seen)

        read_until(b"terminal")
        os.write(main_end, b"\x03")
        read_until(b"caught")
        self.assertEqual(process.wait(10), 9)
        self.assertEqual(seen.count(b"caught"), 1)

    def test_carries_tcp_udp_and_names(self):
        self.lab.nginx()
        self.lab.dnsmasq()
        self.lab.microsocks()
        resolv = self.lab.folder / "resolv.conf"
        for options in ((), ("--proxy", f"socks5://{PROXY4}:1080")):
            for target in (TARGET4, f"[{TARGET6}]"):
                done = self.exec("curl", "-sS", "--max-time", "5", f"http://{target}/", options=options)
                self.assertEqual(done.stdout, "hello from nginx\n", done.stderr)
        done = self.exec("curl", "-sS", "--max-time", "5", "http://www.test.example/", options=("--dns", TARGET4))
        self.assertEqual(done.stdout, "hello from nginx\n", done.stderr)
        self.assertEqual(self.exec("head", "-1", "/etc/resolv.conf", options=("--dns", TARGET4)).stdout,
                         f"nameserver {TARGET4}\n")

    def test_there_is_no_other_way_out(self):
        self.lab.nginx()
        shown = self.exec("ip", "-o", "link").stdout
        self.assertEqual(re.findall(r"^\d+: ([\w-]+)", shown, re.M), ["lo"] + [name.replace("hp", "tun") for name in DEVICES])
        done = self.exec("curl", "-sS", "--max-time", "5", f"http://{TARGET4}/", options=("--proxy", "block://"))
        # Accepted and reset: which of the two curl sees first is a matter of microseconds.
        self.assertIn(done.returncode, (7, 56), done.stderr)

    def test_what_was_sent_before_the_end_arrives(self):
        """A command that ends right after its last write leaves the rest to the kernel."""
        need("socat")
        sink = self.lab.folder / "sink"
        server = self.lab.start("server", "socat", "-u", "TCP-LISTEN:7000,reuseaddr", f"CREATE:{sink}")
        self.lab.wait_listening("server", 7000)
        self.exec("python3", "-c", "import socket; s = socket.create_connection(('%s', 7000)); s.sendall(bytes(3000000))"
                  % TARGET4, check=True)
        server.wait(10)
        self.assertEqual(sink.stat().st_size, 3_000_000)

    def test_a_caller_that_ignores_its_children(self):
        done = self.lab.run("router", "python3", "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, "
                            "signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])", HAIRPIN, "exec", *KIND, "sh", "-c", "exit 5",
                            check=False, timeout=10)
        self.assertEqual(done.returncode, 5)

    def test_nothing_is_left(self):
        before = sh("ip", "rule").stdout + self.lab.run("router", "ip", "rule").stdout
        spaces = sh("lsns", "-t", "net", "-n", "-o", "NS").stdout
        self.exec("true", check=True)
        self.assertEqual(sh("ip", "rule").stdout + self.lab.run("router", "ip", "rule").stdout, before)
        self.assertEqual(sh("lsns", "-t", "net", "-n", "-o", "NS").stdout, spaces)

    AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")

    def check_ordinary_user(self, *wrap):
        self.lab.nginx()
        self.lab.dnsmasq()
        def run(*words):
            return self.lab.run("router", *wrap, *self.AS_NOBODY, HAIRPIN, "exec", *KIND, "--", *words,
                                check=False)

        for target in (TARGET4, f"[{TARGET6}]"):
            done = run("curl", "-sS", "--max-time", "5", f"http://{target}/")
            self.assertEqual(done.stdout, "hello from nginx\n", done.stderr)
        asked = run("dig", "+short", "+tries=1", "+time=5", f"@{TARGET4}", "www.test.example")
        self.assertEqual(asked.stdout, f"{TARGET4}\n", asked.stderr)
        self.assertEqual(run("id", "-u").stdout, "65534\n")
        # A user namespace's rights end with it: the command has none.
        self.assertRegex(run("grep", "CapEff", "/proc/self/status").stdout, r"CapEff:\s0+$")

    @over("tun", "system", "userspace")
    def test_an_ordinary_user(self):
        """Without root, where /dev/net/tun is open to all: a user namespace, in which the command keeps
        its user. The device of the machine is not touched: another name for it is mounted over."""
        self.check_ordinary_user("unshare", "-m", "sh", "-c",
                                 'mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"', "sh")

    @over("veth")
    def test_an_ordinary_user_without_dev_net_tun(self):
        """Nobody needs no device: neither one that is closed to him nor one that does not exist."""
        self.check_ordinary_user("unshare", "-m", "sh", "-c",
                                 'mount -t tmpfs none /dev/net && mknod -m 600 /dev/net/tun c 10 200 && exec "$@"', "sh")
        self.check_ordinary_user("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh")

    @over("tun", "system", "userspace")
    def test_without_permission(self):
        done = self.lab.run("router", *self.AS_NOBODY, HAIRPIN, "exec", "--link", "tun", "true", check=False)
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("/dev/net/tun", done.stderr)

    def test_auto_says_which_and_why(self):
        def said(*wrap):
            done = self.lab.run("router", *wrap, HAIRPIN, "exec", "--log-level", "info", "true", check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stderr

        self.assertRegex(said(), r"up: tun0 \S+ \S+, veth, \d+ workers\n")


if __name__ == "__main__":
    main()
