#include "dispatch/udp_listener.h"

#include <algorithm>

#include "base/log.h"
#include "sniff/quic.h"

namespace hairpin::dispatch {

namespace {

constexpr auto kDnsTimeout = std::chrono::seconds(10);
constexpr auto kOneWayTimeout = std::chrono::seconds(30);
constexpr std::uint16_t kDnsPort = 53;
/// A client that goes on sending does not make us dial a broken outbound for each datagram.
constexpr auto kRetryAfter = std::chrono::seconds(1);
/// Batches of datagrams taken before the other flows of the worker have a turn.
constexpr int kBatches = 4;
/// Destinations of one client that are remembered; a client that scans has many.
constexpr std::size_t kMaxCourses = 256;
/// Bytes that wait until it is known what they are.
constexpr std::size_t kMaxHeld = std::size_t{64} * 1024;

}  // namespace

/// One client endpoint. Its paths, one for each outbound it has used, are opened on demand.
class UdpAssociations::Association final
    : public Watched,
      public std::enable_shared_from_this<Association>,
      public boost::intrusive::list_base_hook<boost::intrusive::tag<struct RecencyTag>> {
 public:
  Association(UdpAssociations& table, const Flow& first)
      : table_(table),
        first_(first),
        generation_(table.dispatcher_.generation()),
        owner_known_(!generation_->policy->router.asks_process() || table.worker_.who == nullptr) {}

  const Endpoint& client() const { return first_.client; }

  void send(const Flow& flow, const platform::Burst& burst) {
    last_activity_ = Clock::now();
    if (flow.destination.port != kDnsPort) only_dns_ = false;
    if (!owner_known_) return ask_owner(flow, burst);
    Course& course = course_of(flow);
    if (course.decided()) return forward(course, burst);
    ask_rules(course, burst);
    if (!course.decided()) return course.sniffing->hold(burst, table_.worker_.counters);
    flush(course);
    forward(course, burst);
  }

  void close(const char* why) {
    if (Watched::is_linked()) Watched::unlink();
    std::string tags;
    for (const auto& path : paths_) tags += " via " + path->through->tag();
    paths_.clear();
    courses_.clear();
    table_.worker_.counters.add(Count::udp_queue_full, early_.size());
    early_.clear();
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

  struct Course;

  /// Datagrams that wait until it is known what they are; for as long as the rule allows.
  struct Sniffing final : Watched {
    Sniffing(Association& to, Course& of, std::size_t by, Clock::duration patience)
        : owner(to), course(of), rule(by), until(Clock::now() + patience) {
      owner.table_.worker_.watchdog.watch(*this);
    }
    ~Sniffing() override { owner.table_.worker_.counters.add(Count::udp_queue_full, held.size()); }
    void hold(const platform::Burst& burst, Counters& counters) {
      for (std::size_t i = 0; i < burst.count; ++i) {
        const auto datagram = burst[i];
        bytes += datagram.size();
        if (bytes > kMaxHeld) return counters.add(Count::udp_queue_full, burst.count - i);
        held.emplace_back(Worker::kHeadroom + datagram.size());
        std::ranges::copy(datagram, held.back().begin() + Worker::kHeadroom);
      }
    }
    Clock::time_point deadline() const override { return until; }
    void expire() override { owner.give_up(course); }

    Association& owner;
    Course& course;
    std::size_t rule;  ///< That asked for it.
    Clock::time_point until;
    sniff::Quic quic;
    std::vector<std::vector<std::byte>> held;  ///< Each behind Worker::kHeadroom bytes.
    std::size_t bytes = 0;
  };

  /// What has been decided for one destination.
  struct Course {
    Flow flow;       ///< With what has been found out, and where it really goes.
    Endpoint asked;  ///< Where the client sends.
    Target target;   ///< Where it really goes, for outbounds. Valid when settled.
    route::Decision decision;
    std::unique_ptr<Sniffing> sniffing;  ///< Until it is decided; null before the rules are asked.
    std::uint64_t used = 0;              ///< Grows with each use of any.
    bool settled = false;

    bool decided() const { return settled; }
  };

  /// Datagrams wait until it is known which process they are from.
  void ask_owner(const Flow& flow, const platform::Burst& burst) {
    Worker& worker = table_.worker_;
    for (std::size_t i = 0; i < burst.count; ++i) {
      const auto datagram = burst[i];
      early_bytes_ += datagram.size();
      if (early_bytes_ > kMaxHeld) {
        worker.counters.add(Count::udp_queue_full, burst.count - i);
        break;
      }
      std::vector<std::byte> copy(Worker::kHeadroom + datagram.size());
      std::ranges::copy(datagram, copy.begin() + Worker::kHeadroom);
      early_.emplace_back(flow, std::move(copy));
    }
    if (asking_) return;
    asking_ = true;
    worker.who->find(flow, worker.executor(), [weak = weak_from_this()](Owner owner) {
      if (const auto alive = weak.lock()) alive->owner_found(std::move(owner));
    });
  }

  void owner_found(Owner owner) {
    owner_ = std::move(owner);
    owner_known_ = true;
    for (auto& [flow, datagram] : std::exchange(early_, {})) {
      send(flow, platform::Burst::single(datagram, Worker::kHeadroom,
                                         datagram.size() - Worker::kHeadroom));
    }
  }

  Course& course_of(const Flow& flow) {
    auto [entry, fresh] = courses_.try_emplace(flow.destination);
    Course& course = entry->second;
    if (fresh) {
      course.flow = flow;
      course.flow.process = owner_;
      course.asked = flow.destination;
      if (courses_.size() > kMaxCourses) forget_one(course);
    }
    course.used = ++uses_;
    return course;
  }

  /// The one that was used least recently, unless datagrams wait in it.
  void forget_one(const Course& fresh) {
    auto oldest = courses_.end();
    for (auto it = courses_.begin(); it != courses_.end(); ++it) {
      if (&it->second == &fresh || it->second.sniffing) continue;
      if (oldest == courses_.end() || it->second.used < oldest->second.used) oldest = it;
    }
    if (oldest == courses_.end()) return;
    origins_.erase(oldest->second.flow.destination);
    courses_.erase(oldest);
  }

  /// Goes on where the rules were left, with what `burst` tells. Undecided: it does not tell
  /// enough.
  void ask_rules(Course& course, const platform::Burst& burst) {
    if (!course.sniffing) {
      course.decision = generation_->decide(course.flow);
    } else if (!sniff(course, generation_->policy->config.route.rules[course.sniffing->rule],
                      burst)) {
      return;
    } else {
      course.decision = generation_->decide(course.flow, course.sniffing->rule + 1);
    }
    while (!config::is_final(course.decision.action)) {
      const config::RouteRule& rule = generation_->rule(course.decision);
      course.flow.apply(rule.options);
      const bool sniffs = rule.action == config::Action::sniff && course.flow.protocol.empty();
      if (sniffs && !sniff(course, rule, burst)) return;
      course.decision = generation_->decide(course.flow, *course.decision.rule + 1);
    }
    settle(course);
  }

  /// False when more datagrams are needed.
  bool sniff(Course& course, const config::RouteRule& rule, const platform::Burst& burst) {
    if (!course.sniffing) {
      const auto found = sniff::sniff_datagram(burst[0], rule.sniffers);
      if (found.verdict == sniff::Verdict::yes) return note(course, found);
      if (!rule.sniffers.has(sniff::Protocol::quic) || !sniff::is_quic_initial(burst[0]))
        return true;
      course.sniffing =
          std::make_unique<Sniffing>(*this, course, *course.decision.rule, rule.sniff_timeout);
    }
    for (std::size_t i = 0; i < burst.count; ++i) {
      const auto found = course.sniffing->quic.feed(burst[i]);
      if (found.verdict != sniff::Verdict::more) return note(course, found);
    }
    return false;
  }

  bool note(Course& course, const sniff::Finding& found) {
    if (found.verdict != sniff::Verdict::yes) return true;
    course.flow.protocol = sniff::name(found.protocol);
    course.flow.domain = found.domain;
    log::debug("{} speaks {}{}{}", course.flow.text(), course.flow.protocol,
               found.domain.empty() ? "" : " to ", found.domain);
    return true;
  }

  void settle(Course& course) {
    if (course.decision.rule) course.flow.apply(generation_->rule(course.decision).options);
    course.settled = true;
    course.target = outbound::target_of(course.flow);
    if (course.flow.udp_timeout) {
      two_way_ = std::min<Clock::duration>(two_way_.value_or(*course.flow.udp_timeout),
                                           *course.flow.udp_timeout);
      table_.worker_.watchdog.hasten(*this);
    }
  }

  /// Time is up: the rules behind are asked with what is known.
  void give_up(Course& course) {
    const std::unique_ptr<Sniffing> sniffing = std::move(course.sniffing);
    course.decision = generation_->decide(course.flow, sniffing->rule + 1);
    while (!config::is_final(course.decision.action)) {
      course.flow.apply(generation_->rule(course.decision).options);
      course.decision = generation_->decide(course.flow, *course.decision.rule + 1);
    }
    settle(course);
    forward_held(course, *sniffing);
  }

  void flush(Course& course) {
    if (!course.sniffing) return;
    const std::unique_ptr<Sniffing> sniffing = std::move(course.sniffing);
    forward_held(course, *sniffing);
  }

  void forward_held(const Course& course, Sniffing& sniffing) {
    auto held = std::move(sniffing.held);
    sniffing.held.clear();
    for (std::vector<std::byte>& datagram : held) {
      forward(course, platform::Burst::single(datagram, Worker::kHeadroom,
                                              datagram.size() - Worker::kHeadroom));
    }
  }

  void forward(const Course& course, const platform::Burst& burst) {
    const route::Decision& decision = course.decision;
    if (decision.action == config::Action::drop) return reject(course.flow, burst);
    if (decision.action == config::Action::reject ||
        !generation_->outbound(decision)->carries(Network::udp)) {
      reject(course.flow, burst);
      return table_.back_.refuse(client(), course.asked, burst[0]);
    }
    if (outbound::UdpPath* path = path_for(decision, course.flow)) {
      sent_ += burst.count;
      const Endpoint& to = course.flow.destination;
      if (to != course.asked) {
        origins_[to] = course.asked;
      } else if (!origins_.empty()) {
        origins_.erase(to);
      }
      path->send(course.target, burst);
    }
  }

  void reject(const Flow& flow, const platform::Burst& burst) {
    table_.worker_.counters.add(Count::udp_rejected, burst.count);
    log::debug("{} rejected", flow.text());
  }

  /// Where the client believes that an answer comes from: where it has sent last of all that goes
  /// there.
  Endpoint seen_by_client(const Endpoint& from) const {
    const auto moved = origins_.find(from);
    return moved == origins_.end() ? from : moved->second;
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
    table_.back_.answer(seen_by_client(from), client(), burst);
  }

  void failed(Path& path, const Error& error) {
    const bool exhausted = error.code == EMFILE || error.code == ENFILE;
    table_.worker_.counters.add(exhausted ? Count::udp_no_descriptor : Count::udp_dial_failed);
    log::warn("{} via {} failed: {}", first_.text(), path.through->tag(), error.text());
    path.broken = true;  // it is in the middle of a call: a later datagram replaces it
    table_.back_.refuse(client(), first_.destination, {});
  }

  Clock::time_point deadline() const override {
    const Clock::duration two_way =
        std::min(two_way_.value_or(table_.limits_.two_way), table_.limits_.two_way);
    if (received_ > 0 && !only_dns_) return last_activity_ + two_way;
    const Clock::duration kind = only_dns_ ? kDnsTimeout : kOneWayTimeout;
    return last_activity_ + std::min(kind, two_way);
  }
  void expire() override { table_.close(*this, "ended"); }

  UdpAssociations& table_;
  Flow first_;                                    ///< What opened it; the client is that of all.
  std::shared_ptr<const Generation> generation_;  ///< Of its beginning: a change moves none.
  bool owner_known_;                              ///< Or nobody asks.
  bool asking_ = false;
  Owner owner_;
  std::vector<std::pair<Flow, std::vector<std::byte>>> early_;  ///< Until it is known.
  std::size_t early_bytes_ = 0;
  std::unordered_map<Endpoint, Course, EndpointHash> courses_;  ///< By where the client sends.
  std::optional<Clock::duration> two_way_;  ///< The shortest that a rule has set.
  /// Of destinations that rules have changed: where the client sends.
  std::unordered_map<Endpoint, Endpoint, EndpointHash> origins_;
  std::uint64_t uses_ = 0;
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
