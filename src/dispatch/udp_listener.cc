#include "dispatch/udp_listener.h"

#include <algorithm>

#include "base/log.h"

namespace hairpin::dispatch {

namespace {

constexpr auto kDnsTimeout = std::chrono::seconds(10);
constexpr auto kOneWayTimeout = std::chrono::seconds(30);
constexpr std::uint16_t kDnsPort = 53;
/// A client that goes on sending does not make us dial a broken outbound for each datagram.
constexpr auto kRetryAfter = std::chrono::seconds(1);
/// Batches of datagrams taken before the other flows of the worker have a turn.
constexpr int kBatches = 4;

}  // namespace

/// One client endpoint. Its paths, one for each outbound it has used, are opened on demand.
class UdpAssociations::Association final
    : public Watched,
      public boost::intrusive::list_base_hook<boost::intrusive::tag<struct RecencyTag>> {
 public:
  Association(UdpAssociations& table, const Flow& first)
      : table_(table), first_(first), generation_(table.dispatcher_.generation()) {}

  const Endpoint& client() const { return first_.client; }

  void send(const Flow& flow, const platform::Burst& burst) {
    last_activity_ = Clock::now();
    if (flow.destination.port != kDnsPort) only_dns_ = false;
    const route::Decision decision = generation_->decide(flow);
    if (decision.action == config::Action::drop) return reject(flow, burst);
    if (decision.action == config::Action::reject ||
        !generation_->outbound(decision)->carries(Network::udp)) {
      reject(flow, burst);
      return table_.back_.refuse(client(), flow.destination, burst[0]);
    }
    if (outbound::UdpPath* path = path_for(decision, flow)) {
      sent_ += burst.count;
      path->send(flow.destination, burst);
    }
  }

  void close(const char* why) {
    if (Watched::is_linked()) Watched::unlink();
    std::string tags;
    for (const auto& path : paths_) tags += " via " + path->through->tag();
    paths_.clear();
    log::info("{}{} {}: {} datagrams up, {} down", first_.text(), tags, why, sent_, received_);
  }

 private:
  /// What one outbound gives back to this association.
  struct Path final : outbound::UdpSink {
    Path(Association& to, std::shared_ptr<outbound::Outbound> by)
        : owner(to), through(std::move(by)) {}
    void deliver(const Endpoint& from, const platform::Burst& burst) override {
      owner.deliver(from, burst);
    }
    void failed(const Error& error) override { owner.failed(*this, error); }

    Association& owner;
    std::shared_ptr<outbound::Outbound> through;
    std::unique_ptr<outbound::UdpPath> path;
    Clock::time_point opened = Clock::now();
    bool broken = false;
  };

  void reject(const Flow& flow, const platform::Burst& burst) {
    table_.worker_.counters.add(Count::udp_rejected, burst.count);
    log::debug("{} rejected", flow.text());
  }

  outbound::UdpPath* path_for(const route::Decision& decision, const Flow& flow) {
    const auto& through = generation_->outbound(decision);
    const auto known =
        std::ranges::find_if(paths_, [&](const auto& path) { return path->through == through; });
    if (known != paths_.end()) {
      Path& path = **known;
      if (!path.broken) return path.path.get();
      if (Clock::now() < path.opened + kRetryAfter) {
        table_.worker_.counters.add(Count::udp_dial_failed);
        return nullptr;
      }
      paths_.erase(known);
    }
    auto fresh = std::make_unique<Path>(*this, through);
    auto opened = through->open_udp(*fresh);
    if (!opened) {
      table_.worker_.counters.add(Count::udp_dial_failed);
      log::warn("{} via {} failed: {}", flow.text(), through->tag(), opened.error().text());
      return nullptr;
    }
    fresh->path = std::move(*opened);
    log::debug("{} via {} opened", flow.text(), through->tag());
    paths_.push_back(std::move(fresh));
    return paths_.back()->path.get();
  }

  void deliver(const Endpoint& from, const platform::Burst& burst) {
    last_activity_ = Clock::now();
    const bool first = received_ == 0;
    received_ += burst.count;
    // Answered: from now on another timeout holds, which may be the shorter one.
    if (first) table_.worker_.watchdog.hasten(*this);
    table_.worker_.counters.add(Count::udp_out, burst.count);
    table_.back_.answer(from, client(), burst);
  }

  void failed(Path& path, const Error& error) {
    const bool exhausted = error.code == EMFILE || error.code == ENFILE;
    table_.worker_.counters.add(exhausted ? Count::udp_no_descriptor : Count::udp_dial_failed);
    log::warn("{} via {} failed: {}", first_.text(), path.through->tag(), error.text());
    path.broken = true;  // it is in the middle of a call: a later datagram replaces it
    table_.back_.refuse(client(), first_.destination, {});
  }

  Clock::time_point deadline() const override {
    if (received_ > 0 && !only_dns_) return last_activity_ + table_.limits_.two_way;
    return last_activity_ + (only_dns_ ? kDnsTimeout : kOneWayTimeout);
  }
  void expire() override { table_.close(*this, "ended"); }

  UdpAssociations& table_;
  Flow first_;                                    ///< What opened it; the client is that of all.
  std::shared_ptr<const Generation> generation_;  ///< Of its beginning: a change moves none.
  std::vector<std::unique_ptr<Path>> paths_;
  Clock::time_point last_activity_ = Clock::now();
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool only_dns_ = true;
};

struct UdpAssociations::Recency {
  boost::intrusive::list<Association, boost::intrusive::base_hook<boost::intrusive::list_base_hook<
                                          boost::intrusive::tag<struct RecencyTag>>>>
      list;
};

UdpAssociations::UdpAssociations(Worker& worker, Dispatcher& dispatcher, const Capture& capture,
                                 UdpReturn& back, UdpLimits limits)
    : worker_(worker),
      dispatcher_(dispatcher),
      capture_(capture),
      back_(back),
      limits_(limits),
      recency_(std::make_unique<Recency>()) {}

UdpAssociations::~UdpAssociations() {
  clear();
}

void UdpAssociations::clear() {
  while (!recency_->list.empty()) close(recency_->list.front(), "stopped");
}

void UdpAssociations::take(const Flow& flow, const platform::Burst& burst) {
  worker_.counters.add(Count::udp_in, burst.count);
  if (Association* association = find_or_open(flow)) association->send(flow, burst);
}

UdpAssociations::Association* UdpAssociations::find_or_open(const Flow& flow) {
  if (const auto found = by_client_.find(flow.client); found != by_client_.end()) {
    Association& known = *found->second;
    recency_->list.splice(recency_->list.end(), recency_->list, recency_->list.iterator_to(known));
    return &known;
  }
  const bool from_interface =
      std::ranges::find(capture_.addresses, flow.client.address) != capture_.addresses.end();
  if (capture_.same_namespace && from_interface && worker_.loop_guard.is_own_udp(flow)) {
    worker_.counters.add(Count::udp_looped);
    log::error(
        "{} is from a socket of our own: it is routed back into the interface; "
        "exclude mark or destination from that route. Dropped",
        flow.text());
    return nullptr;
  }
  if (by_client_.size() >= limits_.associations) {
    worker_.counters.add(Count::udp_evicted);
    close(recency_->list.front(), "evicted");
  }
  const Handle fresh = std::make_shared<Association>(*this, flow);
  by_client_.emplace(flow.client, fresh);
  recency_->list.push_back(*fresh);
  worker_.watchdog.watch(*fresh);
  worker_.counters.add(Count::udp_opened);
  return fresh.get();
}

void UdpAssociations::close(Association& association, const char* why) {
  const auto found = by_client_.find(association.client());
  const Handle keep = found->second;
  by_client_.erase(found);
  recency_->list.erase(recency_->list.iterator_to(*keep));
  keep->close(why);
  worker_.counters.add(Count::udp_closed);
}

UdpListener::UdpListener(Worker& worker, UdpAssociations& associations, const Capture& capture,
                         Fd socket)
    : worker_(worker),
      associations_(associations),
      capture_(capture),
      socket_(worker.executor(), socket.release()) {}

std::uint64_t UdpListener::overflows() {
  return platform::queue_overflows(socket_.native_handle());
}

void UdpListener::stop() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void UdpListener::wait() {
  socket_.async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
    if (ec) return;
    receive();
    wait();
  });
}

void UdpListener::receive() {
  auto& batch = worker_.datagrams;
  for (int i = 0; i < kBatches; ++i) {
    const auto received = batch.receive(socket_.native_handle());
    if (!received) return;
    for (const platform::Received& datagrams : *received) {
      associations_.take(capture_.flow(Network::udp, datagrams.destination, datagrams.source),
                         datagrams.burst);
    }
    if (!batch.was_full()) return;
  }
}

}  // namespace hairpin::dispatch
