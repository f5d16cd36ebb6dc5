#!/usr/bin/env python3
"""OpenWrt's package (scripts/openwrt) without OpenWrt: what uci prints becomes a configuration that hairpin takes, and
the init script asks procd for what it should. Both run in the shell that OpenWrt has, busybox's; uci and procd are stood
in for.

openwrt.py HAIRPIN SOURCES"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HAIRPIN, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
FILES = ROOT / "scripts/openwrt/files"
ASH = ["busybox", "ash"]
HERE = pathlib.Path(__file__).resolve().parent


def convert(text):
    return subprocess.run([*ASH, FILES / "uci-to-json"], input=text, capture_output=True, text=True, timeout=10)


def converted(text):
    done = convert(text)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_scripts_are_clean():
    for name, dialect in (("uci-to-json", "sh"), ("hairpin.defaults", "sh"), ("hairpin.init", "dash")):
        subprocess.run([*ASH, "-n", FILES / name], check=True)
        subprocess.run(["shellcheck", "-s", dialect, FILES / name], check=True)


def test_sections_become_objects():
    text = """package hairpin
config hairpin 'main'
	option enabled '1'
config log
	option level 'debug'
config tun
	list address '172.18.0.1/30'
	list address 'fdfe::1/126'
	option mtu '1500'
	option strict_route '0'
config outbound 'a'
	option type 'http'
	option server_port '443'
	option password '1234'
	option tls_enabled '1'
	option tls_server_name 'x.example'
	list tls_alpn 'h2'
config rule
	list port '80'
	list port '443'
	list domain_suffix 'example'
	option outbound 'a'
config rule
	option ip_is_private 'yes'
	option outbound 'a'
config rule_set 'ads'
	option type 'local'
config dns_server 'd'
	option type 'udp'
	option server '192.0.2.53'
config dns_rule
	option rule_set 'ads'
	option server 'd'
config route
	option final 'a'
config dns
	option final 'd'
"""
    assert converted(text) == {
        "log": {"level": "debug"},
        "inbounds": [{"type": "tun", "address": ["172.18.0.1/30", "fdfe::1/126"], "mtu": 1500, "strict_route": False}],
        "outbounds": [{"tag": "a", "type": "http", "server_port": 443, "password": "1234",
                       "tls": {"enabled": True, "server_name": "x.example", "alpn": ["h2"]}}],
        "route": {"final": "a",
                  "rules": [{"port": [80, 443], "domain_suffix": ["example"], "outbound": "a"},
                            {"ip_is_private": True, "outbound": "a"}],
                  "rule_set": [{"tag": "ads", "type": "local"}]},
        "dns": {"final": "d", "servers": [{"tag": "d", "type": "udp", "server": "192.0.2.53"}],
                "rules": [{"rule_set": "ads", "server": "d"}]},
    }, converted(text)


def test_values_are_texts_and_nothing_else():
    for hostile in ('"', "\\", '\\"', "$(touch /tmp/x)", "`id`", "*", "-n", "a b  c", "%s\\n", "é", "'", "\\n", "{}", ""):
        quoted = "'" + hostile.replace("'", "'\\''") + "'"
        got = converted(f"config outbound 'a'\n\toption password {quoted}\n\tlist x {quoted}\n")
        assert got["outbounds"] == [{"tag": "a", "password": hostile, "x": [hostile]}], (hostile, got)


def test_numbers_that_are_none_are_left_to_hairpin():
    for text in ("", "abc", "1 2", "-1", "012", "0x10", "1e3", "08"):
        got = converted(f"config outbound 'a'\n\toption server_port '{text}'\n")
        assert got["outbounds"][0]["server_port"] == text, got
    assert converted("config tun\n\toption mtu '0'\n")["inbounds"][0]["mtu"] == 0
    users = "config tun\n\tlist exclude_uid '0'\n\tlist exclude_uid '1000'\n\tlist exclude_uid_range '2000:3000'\n"
    assert converted(users)["inbounds"][0] == {"type": "tun", "exclude_uid": [0, 1000], "exclude_uid_range": ["2000:3000"]}


def test_what_is_wrong_is_said():
    for text, word in (("config outbound\n", "no name"), ("config outbund 'a'\n", "outbund"),
                       ("config outbound 'a'\n\toption password 'a\nb'\n", "control character")):
        done = convert(text)
        assert done.returncode == 1 and word in done.stderr, (text, done)


def test_every_flag_and_number_is_known():
    """The converter's lists against the sources of the parser."""
    script = (FILES / "uci-to-json").read_text()
    flags, numbers = (set(re.search(rf'^{name}="([^"]*)"', script, re.M)[1].split()) for name in ("flags", "numbers"))
    sources = "".join(path.read_text() for path in (ROOT / "src/config").glob("*.cc"))
    boolean = set(re.findall(r'\{"(\w+)",\s*kBool,(?!\s*keep_)', sources))
    # Of cache files, which are set by experimental: no section has it.
    assert flags == boolean - {"store_fakeip"}, flags ^ boolean
    for name in numbers:
        assert f'{{"{name}",' in sources, name


PROCD = """
uci() { "$UCI" "$@"; }
procd_open_instance() { echo open; }
procd_set_param() { echo "param $*"; }
procd_close_instance() { echo close; }
procd_send_signal() { echo "signal $*"; }
procd_add_reload_trigger() { echo "trigger $*"; }
running() { [ -n "$RUNNING" ]; }
restart() { echo restart; }
. "$INIT"
"$@"
"""


class Router:
    """A folder that stands for a router's."""

    def __init__(self, folder, configuration):
        self.folder = folder
        (folder / "hairpin").write_text(configuration)
        firewall = folder / "firewall"
        firewall.write_text("#!/bin/sh\necho \"firewall $*\"\n")
        firewall.chmod(0o755)
        (folder / "procd").write_text(PROCD)
        self.run_folder = folder / "run"

    def set(self, configuration):
        (self.folder / "hairpin").write_text(configuration)

    def call(self, *words, running=False):
        environment = dict(os.environ, UCI=str(HERE / "uci.py"), UCI_CONFIG_DIR=str(self.folder),
                           INIT=str(FILES / "hairpin.init"), HAIRPIN_PROGRAM=HAIRPIN,
                           HAIRPIN_CONVERTER=str(FILES / "uci-to-json"), HAIRPIN_RUN=str(self.run_folder),
                           HAIRPIN_FIREWALL=str(self.folder / "firewall"), RUNNING="1" if running else "",
                           PYTHONDONTWRITEBYTECODE="1")
        return subprocess.run([*ASH, self.folder / "procd", *words], env=environment, capture_output=True, text=True,
                              timeout=30)


def test_service():
    packaged = (FILES / "hairpin.config").read_text()
    enabled = packaged.replace("option enabled '0'", "option enabled '1'")
    assert enabled != packaged
    with tempfile.TemporaryDirectory() as name:
        router = Router(pathlib.Path(name), packaged)
        done = router.call("start_service")
        assert (done.returncode, done.stdout) == (0, ""), done  # it is not enabled

        router.set(enabled)
        done = router.call("start_service")
        assert done.returncode == 0, done
        said = done.stdout.splitlines()
        made = router.run_folder / "config.json"
        assert f"param command {HAIRPIN} run -c {made}" in said and said[-1] == "close", said
        assert said.count("firewall reload") == 1, said
        assert json.loads(made.read_text())["inbounds"][0]["interface_name"] == "hp0"
        assert made.stat().st_mode & 0o077 == 0, oct(made.stat().st_mode)  # it may hold passwords
        forward = (router.run_folder / "forward.nft").read_text()
        assert forward.startswith('oifname "hp0" accept'), forward

        # A running one is told; fw4 only when its rules have changed.
        done = router.call("reload_service", running=True)
        assert done.returncode == 0 and "signal hairpin" in done.stdout, done
        assert "firewall" not in done.stdout, done
        router.set(enabled.replace("'hp0'", "'hp7'"))
        done = router.call("reload_service", running=True)
        assert "firewall reload" in done.stdout, done
        assert (router.run_folder / "input.nft").read_text().startswith('iifname "hp7-in" accept')
        assert "restart" in router.call("reload_service").stdout

        # What hairpin finds wrong starts nothing, and replaces nothing.
        before = made.read_text()
        router.set(enabled.replace("'socks'", "'sox'"))
        for command, running in (("start_service", False), ("reload_service", True)):
            done = router.call(command, running=running)
            assert done.returncode == 1 and "sox" in done.stderr, done
            assert "param" not in done.stdout and "signal" not in done.stdout, done
        assert made.read_text() == before

        # One's own file.
        own = router.folder / "own.json"
        own.write_text(before)
        router.set(enabled.replace("option enabled '1'", f"option enabled '1'\n\toption config_file '{own}'"))
        assert f"run -c {own}" in router.call("start_service").stdout
        assert "trigger hairpin" in router.call("service_triggers").stdout


def test_rules_are_what_nft_takes():
    """As fw4 includes them: at the beginning of its chains forward and input. nft only reads (-c)."""
    with tempfile.TemporaryDirectory() as name:
        router = Router(pathlib.Path(name), (FILES / "hairpin.config").read_text())
        assert router.call("make_firewall").returncode == 0
        chains = "".join(f'chain {chain} {{ type filter hook {chain} priority 0; policy drop;\n'
                         f'include "{router.run_folder}/{chain}.nft"\n}}\n' for chain in ("forward", "input"))
        done = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "nft", "-c", "-f", "-"],
                              input=f"table inet fw4 {{\n{chains}}}\n", capture_output=True, text=True, timeout=10)
        assert done.returncode == 0, done.stderr


def test_package_has_its_files():
    """The recipe with a stand-in for OpenWrt's: each file that is installed is there, and lands where it is looked for."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "rules.mk").write_text("")
        (folder / "package.mk").write_text(
            "INSTALL_DIR=mkdir -p\nINSTALL_BIN=install -m0755\nINSTALL_CONF=install -m0600\n"
            "define BuildPackage\ninstall:\n$(call Package/$(1)/install,$(DESTDIR))\nendef\n")
        subprocess.run(["make", "-s", "-f", "Makefile", "install", f"TOPDIR={folder}", f"INCLUDE_DIR={folder}",
                        f"DESTDIR={folder}/root", f"HAIRPIN_PROGRAM={HAIRPIN}"],
                       check=True, cwd=ROOT / "scripts/openwrt", timeout=30)
        for path in ("usr/sbin/hairpin", "usr/lib/hairpin/uci-to-json", "etc/init.d/hairpin",
                     "etc/uci-defaults/hairpin"):
            assert os.access(folder / "root" / path, os.X_OK), path
        assert (folder / "root/etc/config/hairpin").read_bytes() == (FILES / "hairpin.config").read_bytes()


for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
        print("ok", name[len("test_"):].replace("_", " "))
