#include "dns/local.h"

#include <algorithm>

#include "platform/names.h"

namespace hairpin::dns {

namespace {

constexpr std::uint16_t kPort = 53;
constexpr std::uint32_t kTtl = 0;  ///< The file may be changed at any time.
/// The next server has its turn then (resolv.conf(5), "timeout").
constexpr auto kServerPatience = std::chrono::seconds(5);

}  // namespace

void LocalUpstream::refresh() {
  std::string now = platform::name_server_stamp();
  if (now == seen_) return;
  seen_ = std::move(now);
  servers_.clear();
  hosts_.clear();
  read_hosts(platform::hosts_file(), hosts_);
  for (const IpAddr& address : platform::name_servers()) {
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
  Error last{std::string(platform::name_server_place()) + " names no server"};
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
