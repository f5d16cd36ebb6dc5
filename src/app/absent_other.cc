// Commands that are about Linux.
#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"

namespace hairpin::app {

namespace {

int absent(const char* command, const char* cure) {
  std::fprintf(stderr, "hairpin: %s: only on Linux; %s\n", command, cure);
  return kExitMissing;
}

constexpr const char* kRestart = "stop hairpin, and start it again";

}  // namespace

int exec(const config::Config& /*config*/, const ExecOptions& /*options*/) {
  return absent("exec", "use run, and route to its interface");
}

int bypass(Mark /*mark*/, const std::vector<std::string>& /*command*/) {
  return absent("bypass", "exclude where the command goes by route_exclude_address");
}

int cleanup() {
  return absent("cleanup", "nothing is left behind on this system");
}

int doctor(const config::Config& /*config*/, bool /*json*/) {
  return absent("doctor", "check says what this system lacks");
}

Result<Instance> find_instance(int /*process*/) {
  return Error{"a running hairpin can be asked only on Linux; stop it, and start it again"};
}

int reload(const Instance& /*instance*/) {
  return absent("reload", kRestart);
}

int select(const Instance& /*instance*/, const std::string& /*group*/,
           const std::string& /*outbound*/) {
  return absent("select", kRestart);
}

int show_groups(const Instance& /*instance*/, bool /*json*/) {
  return absent("groups", kRestart);
}

}  // namespace hairpin::app
