"""The device library as others find it: installs it into an empty folder, then compiles each of its headers alone, all
of its examples by way of find_package, and by way of pkg-config another program and the one that its README begins
with. Nothing of this tree is on any path.

    device_package.py BUILD_FOLDER SOURCE_FOLDER CXX"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PROGRAM = """
#include <hairpin/device/async.h>
#include <hairpin/device/dns.h>
int main() {
  const auto device = hairpin::device::Device::adopt(-1);
  const auto reverted = hairpin::device::revert_dns(hairpin::IfIndex{1});
  return device || reverted ? 1 : 0;
}
"""


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def headers_alone(prefix, cxx):
    include = prefix / "include"

    def compile_one(header):
        name = header.relative_to(include)
        run(cxx, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", include, "-x", "c++", "-",
            input=f"#include <{name}>\n")
        return str(name)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sorted(include.rglob("*.h"))))


def first_code_of(readme):
    lines = readme.read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("    #include"))
    end = next(i for i in range(begin, len(lines)) if lines[i] and not lines[i].startswith("    "))
    return "\n".join(lines[begin:end]) + "\n"


def main(build, source, cxx):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hairpin-package-"))
    try:
        prefix = folder / "prefix"
        run("cmake", "--install", build, "--component", "device", "--prefix", prefix)
        # What is installed does not name the tree.
        for path in prefix.rglob("*"):
            if path.suffix in (".h", ".cmake", ".pc") and str(pathlib.Path(source).resolve()) in path.read_text():
                sys.exit(f"{path} names the source tree")
        print(*headers_alone(prefix, cxx), sep="\n")

        [examples] = prefix.rglob("examples")
        run("cmake", "-S", examples, "-B", folder / "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={cxx}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        run("cmake", "--build", folder / "build")
        done = subprocess.run([folder / "build" / "tun_pair"], capture_output=True, text=True)
        if done.returncode != 2 or "NAME NAME" not in done.stderr:
            sys.exit(f"tun_pair: {done}")

        [libraries] = prefix.rglob("pkgconfig")
        environment = {**os.environ, "PKG_CONFIG_PATH": str(libraries)}
        [readme] = prefix.rglob("README.md")
        for package, code in (("hairpin-device", first_code_of(readme)), ("hairpin-device-dns", PROGRAM)):
            (folder / "program.cc").write_text(code)
            flags = run("pkg-config", "--cflags", "--libs", package, env=environment).split()
            run(cxx, "-std=c++20", "-Wall", "-Wextra", folder / "program.cc", *flags, "-o", folder / "program")
        run(folder / "program", env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"})
        print("examples by find_package, programs by pkg-config")
    finally:
        shutil.rmtree(folder)


main(*sys.argv[1:])
