#include "dispatch/udp_listener.h"

#include <algorithm>

#include "base/log.h"
#include "dispatch/udp_association.h"

namespace hairpin::dispatch {

namespace {

/// Batches of datagrams taken before the other flows of the worker have a turn.
constexpr int kBatches = 4;

}  // namespace

struct UdpAssociations::Recency {
  boost::intrusive::list<UdpAssociation, boost::intrusive::base_hook<UdpAssociation::Recency>> list;
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
  if (UdpAssociation* association = find_or_open(flow)) association->send(flow, burst);
}

UdpAssociation* UdpAssociations::find_or_open(const Flow& flow) {
  if (const auto found = by_client_.find(flow.client); found != by_client_.end()) {
    UdpAssociation& known = *found->second;
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
  const Handle fresh = std::make_shared<UdpAssociation>(*this, flow);
  by_client_.emplace(flow.client, fresh);
  recency_->list.push_back(*fresh);
  worker_.watchdog.watch(*fresh);
  worker_.counters.add(Count::udp_opened);
  return fresh.get();
}

void UdpAssociations::close(UdpAssociation& association, const char* why) {
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
