#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "host/leftovers.h"
#include "host/local_proxy.h"
#include "platform/cgroup.h"

namespace hairpin::app {

int cleanup() {
  const auto fail = [](const Error& error) {
    const Diagnosis diagnosis = diagnose(error);
    std::fprintf(stderr, "hairpin: %s\n", diagnosis.text.c_str());
    return diagnosis.status;
  };
  const auto left = host::find_leftovers();
  if (!left) return fail(left.error());
  for (const std::string& interface : left->running) {
    std::printf("%s is of a hairpin that is running: left alone\n", interface.c_str());
  }
  if (auto removed = host::remove(*left); !removed) return fail(removed.error());
  // Not empty: something still runs by `hairpin bypass`. Not there, or no groups at all: fine.
  (void)platform::remove_cgroup(host::kBypassGroup);
  if (left->empty()) {
    std::puts("nothing was left");
    return kExitOk;
  }
  std::printf("removed: %zu routing rules, %zu rules in other tables", left->rules.size(),
              left->openings.size());
  for (const std::string& wall : left->walls) std::printf(", table inet %s", wall.c_str());
  std::puts("");
  return kExitOk;
}

}  // namespace hairpin::app
