#include "dns/local.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

namespace hairpin::dns {

namespace {

constexpr const char* kServers = "/etc/resolv.conf";
constexpr const char* kHosts = "/etc/hosts";
constexpr std::uint16_t kPort = 53;
constexpr std::uint32_t kTtl = 0;  ///< The file may be changed at any time.
/// The next server has its turn then (resolv.conf(5), "timeout").
constexpr auto kServerPatience = std::chrono::seconds(5);

std::string stamp(const char* path) {
  struct stat file{};
  if (::stat(path, &file) != 0) return "-";
  return std::to_string(file.st_mtim.tv_sec) + "." + std::to_string(file.st_mtim.tv_nsec) + "." +
         std::to_string(file.st_ino) + " ";
}

}  // namespace

void LocalUpstream::refresh() {
  const std::string now = stamp(kServers) + stamp(kHosts);
  if (now == seen_) return;
  seen_ = now;
  servers_.clear();
  hosts_.clear();
  read_hosts(kHosts, hosts_);
  std::ifstream file(kServers);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word, value;
    words >> word >> value;
    const auto address = IpAddr::parse(value.substr(0, value.find('%')));
    if (word != "nameserver" || !address) continue;
    servers_.push_back(std::make_shared<UdpUpstream>(
        worker_, Remote{through_, Target{"", {*address, kPort}}, nullptr}));
  }
}

Task<Result<Bytes>> LocalUpstream::exchange(const Query& query, Clock::duration patience) {
  refresh();
  const auto until = Clock::now() + patience;
  if (const auto known = hosts_.find(query.question.name()); known != hosts_.end()) {
    co_return render(make_answer(query.question, known->second, kTtl), query, 0, kMaxMessage);
  }
  Error last{std::string(kServers) + " names no server"};
  const auto servers = servers_;  // may be read again meanwhile
  for (const auto& server : servers) {
    const auto left = until - Clock::now();
    if (left <= Clock::duration::zero()) break;
    auto answer =
        co_await server->exchange(query, std::min<Clock::duration>(left, kServerPatience));
    if (answer) co_return answer;
    last = answer.error();
  }
  co_return last;
}

}  // namespace hairpin::dns
