#include "dns/local.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace hairpin::dns {

namespace {

constexpr const char* kServers = "/etc/resolv.conf";
/// Where systemd-resolved says whom it asks itself.
constexpr const char* kBehindStub = "/run/systemd/resolve/resolv.conf";
constexpr const char* kHosts = "/etc/hosts";
constexpr std::uint16_t kPort = 53;
constexpr std::uint32_t kTtl = 0;  ///< The file may be changed at any time.
/// The next server has its turn then (resolv.conf(5), "timeout").
constexpr auto kServerPatience = std::chrono::seconds(5);

std::vector<IpAddr> servers_in(const char* path) {
  std::vector<IpAddr> servers;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word;
    std::string value;
    words >> word >> value;
    const auto address = IpAddr::parse(value.substr(0, value.find('%')));
    if (word == "nameserver" && address) servers.push_back(*address);
  }
  return servers;
}

std::string stamp(const char* path) {
  struct stat file{};
  if (::stat(path, &file) != 0) return "-";
  return std::to_string(file.st_mtim.tv_sec) + "." + std::to_string(file.st_mtim.tv_nsec) + "." +
         std::to_string(file.st_ino) + " ";
}

}  // namespace

void LocalUpstream::refresh() {
  const std::string now = stamp(kServers) + stamp(kBehindStub) + stamp(kHosts);
  if (now == seen_) return;
  seen_ = now;
  servers_.clear();
  hosts_.clear();
  read_hosts(kHosts, hosts_);
  auto addresses = servers_in(kServers);
  // A stub on this host would ask through sockets that are captured, and so ask us.
  if (std::ranges::all_of(addresses, &IpAddr::is_loopback)) {
    if (auto behind = servers_in(kBehindStub); !behind.empty()) addresses = std::move(behind);
  }
  for (const IpAddr& address : addresses) {
    servers_.push_back(std::make_shared<UdpUpstream>(
        worker_, Remote{through_, Target{"", {address, kPort}}, nullptr}));
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
