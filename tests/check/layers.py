"""An include may only point down. Fails on any other, and says why the edge is forbidden."""

import pathlib
import re
import sys

# Folder: the folders it may include from, beside itself and src/base.
MAY = {
    "src/base": set(),
    "nat": set(),
    "nft": set(),
    "platform/device": {"nat"},
    "platform": {"platform/device"},
    "src/wire": set(),
    "src/rule": set(),
    "src/sniff": set(),
    "src/config": {"src/rule", "src/sniff", "src/wire"},
    "src/flow": {"src/config", "src/rule", "nat", "platform"},
    "src/route": {"src/config", "src/flow", "src/rule"},
    "src/outbound": {"src/config", "src/flow", "src/wire", "platform"},
    "src/dns": {"src/config", "src/rule", "src/flow", "src/wire", "src/outbound", "platform"},
    "src/relay": {"src/flow", "src/outbound", "platform"},
    "src/dispatch": {"src/config", "src/dns", "src/wire", "src/sniff", "src/flow", "src/route", "src/outbound", "src/relay", "nat", "platform"},
    "src/tcp": {"nat"},
    "src/stack": {"src/config", "src/flow", "src/dispatch", "src/tcp", "nat", "nft", "platform"},
    "src/host": {"src/config", "platform", "nft"},
    "src/app": {"src/config", "src/dns", "src/rule", "src/flow", "src/outbound", "src/route", "src/dispatch", "src/stack", "src/host", "nat", "nft",
                "platform"},
    "src/cli": {"src/config"},
    "src/embed": {"src/app", "src/config", "src/flow", "src/stack", "platform"},
    "src": {"src/app", "src/cli", "src/config", "src/flow", "src/rule", "src/sniff"},
}
WHY = {
    "nat": "nat/ is arithmetic on packets: no socket, clock, log or configuration",
    "nft": "nft/ turns values into kernel objects: it knows no flow and no configuration",
    "platform/device": "platform/device/ is a library that is installed: it knows nothing of the others",
    "platform": "platform/ is a library of its own: it knows nothing of this program",
    "src/wire": "src/wire/ is pure: bytes in, values out",
    "src/rule": "rules are pure: values in, an answer out",
    "src/sniff": "sniffers only look: bytes in, a finding out",
    "src/config": "the configuration flows down as a value: it knows nobody who uses it",
    "src/route": "routing is a pure function of configuration and flow",
}
# Pure folders may not reach the system by the back door either. log.h is in src/base.
PURE = {"nat": r"<sys/(?!socket)|<boost/asio|base/(log|asio|fd)\.h|<chrono>|<thread>|<fstream>",
        "src/wire": r"<sys/|base/(log|asio|fd)\.h|<thread>|<fstream>",
        "src/sniff": r"<sys/|base/(log|asio|fd)\.h|<chrono>|<thread>|<fstream>",
        "src/rule": r"<sys/|base/(log|asio|fd)\.h|<thread>|<fstream>",
        "src/route": r"<sys/|base/(asio|fd)\.h|<thread>|<fstream>"}
OS_MACRO = re.compile(r"#\s*(if|ifdef|elif).*(__linux__|_WIN32|__APPLE__|__ANDROID__|__FreeBSD__)")


def main(root):
    root = pathlib.Path(root)
    folders = sorted(MAY, key=len, reverse=True)

    def folder_of(path):
        return next((f for f in folders if path.startswith(f + "/")), None)

    wrong = []
    for path in sorted(p for top in ("src", "nat", "nft", "platform") for p in (root / top).rglob("*.[ch]*")):
        name = path.relative_to(root).as_posix()
        own = folder_of(name)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if OS_MACRO.search(line) and own != "platform":
                wrong.append(f"{name}:{number}: a condition on the system outside platform/")
            include = re.match(r'#include ["<]([^">]+)[">]', line)
            if not include:
                continue
            if own in PURE and re.search(PURE[own], line.replace('"', '')[9:]):
                wrong.append(f"{name}:{number}: {include[1]}: {WHY[own]}")
            if '"' not in line:
                continue
            target = include[1] if (root / include[1]).exists() else f"src/{include[1]}"
            to = folder_of(target)
            if to not in ({own, "src/base"} | MAY[own]):
                wrong.append(f"{name}:{number}: {own} may not include from {to}"
                             + (f": {WHY[own]}" if own in WHY else ""))
    print("\n".join(wrong) or "all includes point down")
    return 1 if wrong else 0


sys.exit(main(*sys.argv[1:]))
