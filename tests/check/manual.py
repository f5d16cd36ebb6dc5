"""Holds the manual pages against the program: what one has, the other has.

Commands and options come from the tables behind --help, fields from the tables of the parser. In the
pages they are the items of lists (".It Fl -name", ".It Cm name"), each list under a heading that
names the command or the object.
"""

import pathlib
import re
import subprocess
import sys


def items(text, pattern):
    """{heading: set of names}; a heading is the last .Sh or .Ss."""
    found, heading = {}, ""
    for line in text.splitlines():
        if match := re.match(r"\.S[hs] (.*)", line):
            heading = match[1].strip('"')
        elif match := re.match(pattern, line):
            found.setdefault(heading, set()).add(match[1])
    return found


def main(lister, folder):
    known = subprocess.run([lister], capture_output=True, text=True, check=True).stdout.splitlines()
    options, fields, commands = {}, {}, set()
    for line in known:
        kind, rest = line.split(" ", 1)
        if kind == "command":
            commands.add(rest)
        elif kind == "option":
            command, name = rest.split(" ")
            options.setdefault(f"hairpin {command}", set()).add(name)
        elif kind == "field":
            owner, name = rest.split("\t")
            fields.setdefault(owner or "The whole", set()).add(name)
    folder = pathlib.Path(folder)
    page8, page5 = (folder / "hairpin.8").read_text(), (folder / "hairpin-config.5").read_text()

    wrong = []
    in_page = items(page8, r"\.It (?:Fl \w , )?Fl -([\w-]+)")
    in_page = {heading: names for heading, names in in_page.items() if heading.startswith("hairpin ")}
    for heading in sorted(set(options) | set(in_page)):
        for name in sorted(options.get(heading, set()) ^ in_page.get(heading, set())):
            where = "hairpin.8" if name in options.get(heading, set()) else "--help"
            wrong.append(f"{heading}: --{name} is missing in {where}")
    for heading in {f"hairpin {command}" for command in commands} - set(options):
        wrong.append(f"{heading} has no options at all")
    for page in (folder / "hairpin-config.5",):
        in_page = items(page5, r"\.It Cm ([\w.]+)")
        for owner in sorted(set(fields) | set(in_page)):
            for name in sorted(fields.get(owner, set()) ^ in_page.get(owner, set())):
                where = page.name if name in fields.get(owner, set()) else "the parser"
                wrong.append(f"{owner}: {name} is missing in {where}")
    for page in ("hairpin.8", "hairpin-config.5"):
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "style", folder / page], capture_output=True, text=True)
        # mandoc looks for other systems' conventions too: only "unknown manual" may remain, of pages
        # that are not installed where the test runs.
        wrong += [l for l in lint.stdout.splitlines() if "referenced manual not found" not in l]
    print("\n".join(wrong) or "the manual pages and the program agree")
    return 1 if wrong else 0


sys.exit(main(*sys.argv[1:]))
