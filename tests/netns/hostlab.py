"""For tests of what hairpin sets up on a host: auto_route, auto_redirect and their surroundings.

ctest runs these files over both links, and once more with auto_redirect.
"""

import os
import re
import time

from lab import LabTest, PROXY4, PROXY6, LINK, wait_for

REDIRECT = os.environ.get("HAIRPIN_REDIRECT") == "1"
WAY = "redirect" if REDIRECT else LINK


class HostTest(LabTest):
    def setUp(self):
        super().setUp()
        # The servers are reached by a default route, as on a real host, not by one that names them.
        self.lab.ip("router", "route del 203.0.113.0/24")
        self.lab.ip("router", "-6 route del 2001:db8:99::/64")
        self.lab.ip("router", f"route add default via {PROXY4}")
        self.lab.ip("router", f"-6 route add default via {PROXY6}")
        self.before = self.routing()

    def routing(self):
        return "".join(self.lab.ip("router", f"{family} {what}").stdout for family in ("-4", "-6")
                       for what in ("rule show", "route show table all"))

    def everything(self):
        """All that a run could leave behind."""
        return self.routing() + self.lab.run("router", "nft", "list", "ruleset").stdout

    def start(self, *outbounds, tun=None, route=None, wrap=(), **fields):
        redirect = {"auto_redirect": True} if REDIRECT else {}
        return self.lab.hairpin(*outbounds, capture=False, route=route, wrap=wrap,
                                tun={"auto_route": True, **redirect, **fields, **(tun or {})})

    def fetch(self, ns, address, *wrap, port=80):
        host = f"[{address}]" if ":" in address else address
        done = self.lab.run(ns, *wrap, "curl", "-sS", "--max-time", "5", f"http://{host}:{port}/", check=False)
        return done.stdout or re.sub(r" after \d+ ms", "", done.stderr)  # whose time is no difference

    def captured(self, hairpin):
        return hairpin.counters().get("tcp_opened", 0)

    def check(self, hairpin, expected, *fetches):
        """How many of some requests, all of which succeed, were captured."""
        before = self.captured(hairpin)
        for fetch in fetches:
            self.assertEqual(self.fetch(*fetch), "hello from nginx\n", fetch)
        self.assertEqual(self.captured(hairpin) - before, expected)

    def nft(self, ns, rules):
        path = self.lab.folder / f"rules-{time.monotonic_ns()}.nft"
        path.write_text(re.sub(r"} +(?=})", "}\n", re.sub(r"} +(?=})", "}\n", rules.strip())) + "\n")
        self.lab.run(ns, "nft", "-f", path)


class Uplink:
    """What crosses the uplink, as tcpdump sees it."""

    def __init__(self, lab, device="r1"):
        self.process = lab.start("router", "tcpdump", "-Z", "root", "-nn", "-l", "-i", device, "--immediate-mode")
        wait_for(lambda: "listening on" in self.process.err(), "tcpdump")

    def packets(self):
        time.sleep(0.3)  # the last ones on their way into the file
        self.process.stop()
        return [line for line in self.process.out().splitlines() if " IP" in line or " ARP" in line]


def addresses(packet):
    """Source and destination of a line of tcpdump, without ports."""
    found = re.search(r"IP6? (\S+) > (\S+):", packet)
    if not found:
        return None
    return tuple(re.sub(r"\.\d+$", "", name) if name.count(".") == 4 or ":" in name else name
                 for name in found.groups())
