#!/usr/bin/env python3
"""Stands in for OpenWrt's uci(1): `get` and `export` of the files in $UCI_CONFIG_DIR, as it prints them."""
import os
import pathlib
import re
import shlex
import sys


def sections(package):
    found = []
    for line in (pathlib.Path(os.environ["UCI_CONFIG_DIR"]) / package).read_text().splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "config":
            found.append((words[1], words[2] if len(words) > 2 else "", []))
        else:
            found[-1][2].append(words)
    return found


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def export(package):
    print(f"package {package}\n")
    for kind, name, options in sections(package):
        print(f"config {kind}" + (f" {quoted(name)}" if name else ""))
        for what, option, value in options:
            print(f"\t{what} {option} {quoted(value)}")
        print()


def get(path):
    package, wanted, option = path.split(".")
    at = re.fullmatch(r"@(\w+)\[(\d+)\]", wanted)
    of_type = [s for s in sections(package) if s[0] == at[1]][int(at[2]):] if at else []
    named = of_type if at else [s for s in sections(package) if s[1] == wanted]
    values = [words[2] for words in named[0][2] if words[1] == option] if named else []
    print(" ".join(values)) if values else sys.exit(1)


words = [word for word in sys.argv[1:] if word != "-q"]
{"export": export, "get": get}[words[0]](words[1])
