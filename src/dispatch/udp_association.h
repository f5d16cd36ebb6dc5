// One client endpoint: what becomes of its datagrams, and the paths that they take.
//
// How it works
//
// What the rules say of one destination is remembered as its course. Until that is known its
// datagrams are held: while it is looked up whose they are, while a hello is incomplete, while a
// name is resolved.
//
//   fresh ──rules──> settled
//     │ ├──> sniffing, until there is enough, or time is up ──rules──> …
//     │ └──> resolving ──rules──> …
//
// Where the client knows but an address that stands for a name, and the outbound takes names, the
// first answer that nothing else explains tells which address is behind it.
#pragma once

#include <boost/intrusive/list.hpp>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dispatch/udp_listener.h"
#include "dns/service.h"
#include "flow/watchdog.h"
#include "sniff/quic.h"

namespace hairpin::dispatch {

/// Datagrams that wait. For one thread.
class HeldDatagrams {
 public:
  explicit HeldDatagrams(Worker& worker) : worker_(worker) {}
  ~HeldDatagrams() { worker_.counters.add(Count::udp_queue_full, held_.size()); }
  HeldDatagrams(const HeldDatagrams&) = delete;
  HeldDatagrams& operator=(const HeldDatagrams&) = delete;

  /// What is too much is dropped, and counted.
  void add(const Flow& flow, const platform::Burst& burst);
  /// Gives each to `take(flow, burst)`, in the order in which they came.
  template <class Take>
  void release(Take take) {
    bytes_ = 0;
    for (auto& [flow, datagram] : std::exchange(held_, {})) {
      take(flow, platform::Burst::single(datagram.bytes(), datagram.headroom(), datagram.size()));
    }
  }

 private:
  Worker& worker_;
  std::vector<std::pair<Flow, HeldDatagram>> held_;  ///< Behind Worker::kHeadroom bytes.
  std::size_t bytes_ = 0;
};

class UdpAssociation final
    : public Watched,
      public std::enable_shared_from_this<UdpAssociation>,
      public boost::intrusive::list_base_hook<boost::intrusive::tag<struct RecencyTag>> {
 public:
  using Recency = boost::intrusive::list_base_hook<boost::intrusive::tag<struct RecencyTag>>;

  UdpAssociation(UdpAssociations& table, const Flow& first);
  ~UdpAssociation() override;

  const Endpoint& client() const { return first_.client; }
  void send(const Flow& flow, const platform::Burst& burst);
  void close(const char* why);

 private:
  struct Path;
  struct Course;
  struct Sniffing;

  Worker& worker() const { return table_.worker_; }

  void ask_owner();
  void take(Course& course, const Flow& flow, const platform::Burst& burst);
  Course& course_of(const Flow& flow);
  void forget_one(const Course& fresh);

  /// Asks the rules, from the one that is next, until they are done or have to wait; a null `burst`
  /// tells no more than is known.
  void proceed(Course& course, const platform::Burst* burst);
  bool sniff(Course& course, const config::RouteRule& rule, const platform::Burst& burst);
  void note(Course& course, const sniff::Finding& found);
  void give_up(Course& course);
  void start_resolving(Course& course, const config::RouteRule& rule);
  Task<> resolve(Endpoint asked, std::string name, config::DomainResolver resolver);
  void settle(Course& course);
  void release(Course& course);

  void forward(Course& course, const platform::Burst& burst);
  void reject(const Course& course, const platform::Burst& burst);
  outbound::UdpPath* path_for(const route::Decision& decision, const Flow& flow);

  void answer_questions(const Course& course, const platform::Burst& burst);
  Task<> answer_later(std::shared_ptr<dns::Service> names, Flow flow, Endpoint asked,
                      dns::Query query, std::size_t limit, dns::Service::Progress progress);
  void tell(const Endpoint& asked, const dns::Bytes& message);

  void deliver(const Endpoint& from, const platform::Burst& burst);
  void reached(const Target& target, const Endpoint& real);
  Endpoint seen_by_client(const Endpoint& from);
  void failed(Path& path, const Error& error);

  Clock::time_point deadline() const override;
  void expire() override;

  UdpAssociations& table_;
  Flow first_;                                    ///< What opened it; the client is that of all.
  std::shared_ptr<const Generation> generation_;  ///< Of its beginning: a change moves none.
  bool owner_known_;                              ///< Or nobody asks.
  bool asking_ = false;
  Owner owner_;
  HeldDatagrams early_;  ///< Until it is known.
  /// By where the client sends.
  std::unordered_map<Endpoint, std::unique_ptr<Course>, EndpointHash> courses_;
  std::optional<Clock::duration> two_way_;  ///< The shortest that a rule has set.
  /// Where the client sends, of remotes that it knows by another address.
  std::unordered_map<Endpoint, Endpoint, EndpointHash> origins_;
  std::size_t unreached_ = 0;  ///< Courses that lead to a name, whose address nobody has told.
  std::uint64_t uses_ = 0;
  std::vector<std::unique_ptr<Path>> paths_;
  Clock::time_point last_activity_ = Clock::now();
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool only_dns_ = true;
};

}  // namespace hairpin::dispatch
