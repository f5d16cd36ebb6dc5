#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "app/commands.h"
#include "app/diagnose.h"

namespace hairpin::app {

namespace {

std::vector<std::string> words_of(const std::filesystem::path& process) {
  std::ifstream file(process / "cmdline", std::ios::binary);
  std::vector<std::string> words;
  // getline, not an iterator over the buffer: that one throws when the process ends meanwhile.
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  return words;
}

/// The file of `-c FILE`, `-cFILE`, `--config FILE` or `--config=FILE`; empty: none.
std::string config_of(const std::vector<std::string>& words) {
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::string& word = words[i];
    if ((word == "-c" || word == "--config") && i + 1 < words.size()) return words[i + 1];
    if (word.starts_with("--config=")) return word.substr(std::string("--config=").size());
    if (word.starts_with("-c") && word.size() > 2) return word.substr(2);
  }
  return "";
}

bool same_namespace(const std::filesystem::path& process) {
  std::error_code failed;
  const auto theirs = std::filesystem::read_symlink(process / "ns/net", failed);
  return !failed && theirs == std::filesystem::read_symlink("/proc/self/ns/net", failed);
}

}  // namespace

Result<Instance> find_instance(int process) {
  std::vector<Instance> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const auto number = parse_number(entry.path().filename().string(), INT32_MAX);
    if (!number || *number == static_cast<std::uint64_t>(::getpid())) continue;
    if (process != 0 && *number != static_cast<std::uint64_t>(process)) continue;
    const auto words = words_of(entry.path());
    if (words.size() < 2 || words[1] != "run") continue;
    if (std::filesystem::path(words[0]).filename() != "hairpin") continue;
    if (process == 0 && !same_namespace(entry.path())) continue;
    Instance instance{static_cast<int>(*number), config_of(words)};
    if (!instance.config.empty() && instance.config != "-" && instance.config[0] != '/') {
      instance.config = (entry.path() / "cwd" / instance.config).string();
    }
    found.push_back(std::move(instance));
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return Error{process == 0 ? "no hairpin run is running here"
                              : "process " + std::to_string(process) + " is no hairpin run"};
  }
  std::string numbers;
  for (const Instance& instance : found) numbers += " " + std::to_string(instance.process);
  return Error{"there are several:" + numbers + "; choose one by --pid"};
}

int reload(const Instance& instance) {
  if (::kill(instance.process, SIGHUP) != 0) {
    const Diagnosis diagnosis =
        diagnose(last_error("signal process " + std::to_string(instance.process)));
    std::fprintf(stderr, "hairpin: %s\n", diagnosis.text.c_str());
    return diagnosis.status;
  }
  std::printf("process %d was told to reload; its log says how that went\n", instance.process);
  return kExitOk;
}

}  // namespace hairpin::app
