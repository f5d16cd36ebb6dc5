#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "app/commands.h"
#include "app/diagnose.h"
#include "host/local_proxy.h"
#include "platform/cgroup.h"

namespace hairpin::app {

namespace {

Result<> prepare(Mark mark) {
  if (auto made = platform::make_cgroup(host::kBypassGroup); !made) return made;
  if (auto marked = platform::mark_sockets_for_good(host::kBypassGroup, mark); !marked) {
    return marked;
  }
  return platform::enter_cgroup(host::kBypassGroup, ::getpid());
}

}  // namespace

int bypass(Mark mark, const std::vector<std::string>& command) {
  if (auto prepared = prepare(mark); !prepared) {
    const Diagnosis diagnosis = diagnose(prepared.error());
    std::fprintf(stderr, "hairpin: %s\n", diagnosis.text.c_str());
    return diagnosis.status;
  }
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  const int code = errno;
  std::fprintf(stderr, "hairpin: %s: %s\n", words[0], std::strerror(code));
  return code == ENOENT ? kExitNotFound : kExitCannotRun;
}

}  // namespace hairpin::app
