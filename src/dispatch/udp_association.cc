#include "dispatch/udp_association.h"

#include <algorithm>

#include "base/log.h"

namespace hairpin::dispatch {

namespace {

constexpr auto kDnsTimeout = std::chrono::seconds(10);
constexpr auto kOneWayTimeout = std::chrono::seconds(30);
constexpr std::uint16_t kDnsPort = 53;
/// A client that goes on sending does not make us dial a broken outbound for each datagram.
constexpr auto kRetryAfter = std::chrono::seconds(1);
/// Destinations of one client that are remembered; a client that scans has many.
constexpr std::size_t kMaxCourses = 256;
/// Bytes that wait until it is known what they are.
constexpr std::size_t kMaxHeld = std::size_t{64} * 1024 + HeldDatagram::kOverhead;
/// Questions of all clients of a worker that are on their way to servers.
constexpr std::size_t kMaxQuestions = 4096;
/// No answer over UDP is longer, whatever a client says that it takes (RFC 6891, section 6.2.5).
constexpr std::size_t kMaxAnswer = 4096;

}  // namespace

void HeldDatagrams::add(const Flow& flow, const platform::Burst& burst) {
  for (std::size_t i = 0; i < burst.count; ++i) {
    const std::size_t cost = burst[i].size() + HeldDatagram::kOverhead;
    auto copy = bytes_ + cost <= kMaxHeld
                    ? HeldDatagram::copy(worker_.held, burst[i], Worker::kHeadroom)
                    : std::nullopt;
    if (!copy) return worker_.counters.add(Count::udp_queue_full, burst.count - i);
    bytes_ += cost;
    held_.emplace_back(flow, std::move(*copy));
  }
}

/// What one outbound gives back to this association.
struct UdpAssociation::Path final : outbound::UdpSink {
  Path(UdpAssociation& to, std::shared_ptr<outbound::Outbound> by)
      : owner(to), through(std::move(by)) {}
  void deliver(const Endpoint& from, const platform::Burst& burst) override {
    owner.deliver(from, burst);
  }
  void reached(const Target& target, const Endpoint& real) override { owner.reached(target, real); }
  void failed(const Error& error) override { owner.failed(*this, error); }

  UdpAssociation& owner;
  std::shared_ptr<outbound::Outbound> through;
  std::unique_ptr<outbound::UdpPath> path;
  Clock::time_point opened = Clock::now();
  bool broken = false;
};

/// What a hello has told so far, for as long as the rule allows.
struct UdpAssociation::Sniffing final : Watched {
  Sniffing(UdpAssociation& to, Course& of, Clock::duration patience)
      : owner(to), course(of), until(Clock::now() + patience) {
    owner.worker().watchdog.watch(*this);
  }
  Clock::time_point deadline() const override { return until; }
  void expire() override { owner.give_up(course); }

  UdpAssociation& owner;
  Course& course;
  Clock::time_point until;
  sniff::Quic quic;
};

/// What has been decided for one destination.
struct UdpAssociation::Course {
  explicit Course(Worker& worker) : held(worker) {}

  enum class State : std::uint8_t { fresh, sniffing, resolving, settled };

  State state = State::fresh;
  Flow flow;             ///< With what has been found out, and where it really goes.
  Endpoint asked;        ///< Where the client sends.
  Target target;         ///< Where it really goes, for outbounds. Valid when settled.
  std::size_t next = 0;  ///< The rule that is asked next.
  route::Decision decision;
  std::unique_ptr<Sniffing> sniffing;
  HeldDatagrams held;      ///< Until it is settled.
  bool unreached = false;  ///< Counted in `unreached_`.
  std::uint64_t used = 0;  ///< Grows with each use of any.
};

UdpAssociation::UdpAssociation(UdpAssociations& table, const Flow& first)
    : table_(table),
      first_(first),
      generation_(table.dispatcher_.generation()),
      owner_known_(!generation_->asks_process() || table.worker_.who == nullptr),
      early_(table.worker_) {}

UdpAssociation::~UdpAssociation() = default;

void UdpAssociation::send(const Flow& flow, const platform::Burst& burst) {
  last_activity_ = Clock::now();
  if (flow.destination.port != kDnsPort) only_dns_ = false;
  if (!owner_known_) {
    early_.add(flow, burst);
    return ask_owner();
  }
  take(course_of(flow), flow, burst);
}

void UdpAssociation::take(Course& course, const Flow& flow, const platform::Burst& burst) {
  if (course.state == Course::State::fresh || course.state == Course::State::sniffing) {
    proceed(course, &burst);
    if (course.state == Course::State::settled) release(course);
  }
  if (course.state != Course::State::settled) return course.held.add(flow, burst);
  forward(course, burst);
}

void UdpAssociation::close(const char* why) {
  if (Watched::is_linked()) Watched::unlink();
  std::string tags;
  for (const auto& path : paths_) tags += " via " + path->through->tag();
  paths_.clear();
  courses_.clear();
  early_.release([this](const Flow&, const platform::Burst&) {
    worker().counters.add(Count::udp_queue_full);
  });
  log::info("{}{} {}: {} datagrams up, {} down", first_.text(), tags, why, sent_, received_);
}

// ---- decisions ----------------------------------------------------------------------------------

void UdpAssociation::ask_owner() {
  if (asking_) return;
  asking_ = true;
  worker().who->find(first_, worker().executor(), [weak = weak_from_this()](Owner owner) {
    const auto alive = weak.lock();
    if (!alive) return;
    alive->owner_ = std::move(owner);
    alive->owner_known_ = true;
    alive->early_.release(
        [&alive](const Flow& flow, const platform::Burst& burst) { alive->send(flow, burst); });
  });
}

UdpAssociation::Course& UdpAssociation::course_of(const Flow& flow) {
  std::unique_ptr<Course>& known = courses_[flow.destination];
  const bool fresh = known == nullptr;
  if (fresh) known = std::make_unique<Course>(worker());
  Course& course = *known;
  if (fresh) {
    course.flow = flow;
    course.flow.process = owner_;
    course.asked = flow.destination;
    if (courses_.size() > kMaxCourses) forget_one(course);
  }
  course.used = ++uses_;
  return course;
}

/// The one that was used least recently, unless it is still being decided.
void UdpAssociation::forget_one(const Course& fresh) {
  auto oldest = courses_.end();
  for (auto it = courses_.begin(); it != courses_.end(); ++it) {
    if (it->second.get() == &fresh || it->second->state != Course::State::settled) continue;
    if (oldest == courses_.end() || it->second->used < oldest->second->used) oldest = it;
  }
  if (oldest == courses_.end()) return;
  if (oldest->second->unreached) --unreached_;
  std::erase_if(origins_, [&](const auto& origin) { return origin.second == oldest->first; });
  courses_.erase(oldest);
}

void UdpAssociation::proceed(Course& course, const platform::Burst* burst) {
  if (course.state == Course::State::fresh && !generation_->identify(course.flow)) {
    worker().counters.add(Count::fake_unknown);
    log::info("{} goes to an address that stands for no name. Rejected", course.flow.text());
    course.decision.action = config::Action::reject;
    course.state = Course::State::settled;
    return;
  }
  for (;;) {
    course.decision = generation_->decide(course.flow, course.next);
    if (config::is_final(course.decision.action)) return settle(course);
    const config::RouteRule& rule = generation_->rule(course.decision);
    course.next = *course.decision.rule;  // until it is done
    course.flow.apply(rule.options);
    const bool sniffs = rule.action == config::Action::sniff && course.flow.protocol.empty();
    if (sniffs && burst != nullptr && !sniff(course, rule, *burst)) {
      course.state = Course::State::sniffing;
      return;
    }
    course.sniffing.reset();
    ++course.next;
    if (rule.action == config::Action::resolve && !course.flow.has_address()) {
      return start_resolving(course, rule);
    }
  }
}

/// False when more datagrams are needed.
bool UdpAssociation::sniff(Course& course, const config::RouteRule& rule,
                           const platform::Burst& burst) {
  if (!course.sniffing) {
    const auto found = sniff::sniff_datagram(burst[0], rule.sniffers);
    if (found.verdict == sniff::Verdict::yes) {
      note(course, found);
      return true;
    }
    if (!rule.sniffers.has(sniff::Protocol::quic) || !sniff::is_quic_initial(burst[0])) return true;
    course.sniffing = std::make_unique<Sniffing>(*this, course, rule.sniff_timeout);
  }
  for (std::size_t i = 0; i < burst.count; ++i) {
    const auto found = course.sniffing->quic.feed(burst[i]);
    if (found.verdict == sniff::Verdict::more) continue;
    if (found.verdict == sniff::Verdict::yes) note(course, found);
    return true;
  }
  return false;
}

void UdpAssociation::note(Course& course, const sniff::Finding& found) {
  course.flow.protocol = sniff::name(found.protocol);
  if (!course.flow.asked_for && !found.domain.empty()) course.flow.domain = found.domain;
  log::debug("{} speaks {}{}{}", course.flow.text(), course.flow.protocol,
             found.domain.empty() ? "" : " to ", found.domain);
}

/// Time is up: the rules behind are asked with what is known.
void UdpAssociation::give_up(Course& course) {
  const std::unique_ptr<Sniffing> ended = std::move(course.sniffing);
  ++course.next;
  proceed(course, nullptr);
  if (course.state == Course::State::settled) release(course);
}

void UdpAssociation::start_resolving(Course& course, const config::RouteRule& rule) {
  course.state = Course::State::resolving;
  asio::co_spawn(worker().executor(), resolve(course.asked, course.flow.domain, rule.resolver),
                 asio::detached);
}

Task<> UdpAssociation::resolve(Endpoint asked, std::string name, config::DomainResolver resolver) {
  const auto self = shared_from_this();
  const auto names = generation_->names;
  auto found = co_await names->lookup(name, resolver, kResolvePatience);
  const auto entry = courses_.find(asked);
  if (entry == courses_.end()) co_return;  // closed meanwhile
  Course& course = *entry->second;
  course.state = Course::State::sniffing;
  if (found) {
    course.flow.resolved(std::move(*found));
    // What has come meanwhile may tell more.
    course.held.release(
        [&](const Flow& flow, const platform::Burst& burst) { take(course, flow, burst); });
  } else {
    log::warn("{}: {}", course.flow.text(), found.error().text());
    course.decision.action = config::Action::reject;
    course.state = Course::State::settled;
  }
  if (course.state == Course::State::settled) release(course);
}

void UdpAssociation::settle(Course& course) {
  if (course.decision.rule) course.flow.apply(generation_->rule(course.decision).options);
  table_.dispatcher_.note_bypass(*generation_, course.decision, course.flow, course.asked);
  course.state = Course::State::settled;
  course.target = outbound::target_of(course.flow);
  if (!course.target.has_address()) {
    course.unreached = true;
    ++unreached_;
  }
  if (course.flow.udp_timeout) {
    two_way_ = std::min<Clock::duration>(two_way_.value_or(*course.flow.udp_timeout),
                                         *course.flow.udp_timeout);
    worker().watchdog.hasten(*this);
  }
}

void UdpAssociation::release(Course& course) {
  course.held.release([&](const Flow&, const platform::Burst& burst) { forward(course, burst); });
}

// ---- to the remote ------------------------------------------------------------------------------

void UdpAssociation::forward(Course& course, const platform::Burst& burst) {
  const route::Decision& decision = course.decision;
  if (decision.action == config::Action::hijack_dns) return answer_questions(course, burst);
  if (!config::has_outbound(decision.action) ||
      !generation_->outbound(decision)->carries(Network::udp)) {
    return reject(course, burst);
  }
  if (outbound::UdpPath* path = path_for(decision, course.flow)) {
    sent_ += burst.count;
    const Endpoint& to = course.target.endpoint;
    if (course.target.has_address()) {
      if (to != course.asked) {
        origins_[to] = course.asked;
      } else if (!origins_.empty()) {
        origins_.erase(to);
      }
    }
    path->send(course.target, burst);
  }
}

/// One ICMP error answers the whole burst.
void UdpAssociation::reject(const Course& course, const platform::Burst& burst) {
  worker().counters.add(Count::udp_rejected, burst.count);
  log::debug("{} rejected", course.flow.text());
  if (generation_->tells(course.decision)) {
    table_.back_.refuse(client(), course.asked, burst[0]);
  } else if (course.decision.action == config::Action::reject) {
    worker().counters.add(Count::reject_silenced);
  }
}

outbound::UdpPath* UdpAssociation::path_for(const route::Decision& decision, const Flow& flow) {
  const auto& through = generation_->outbound(decision);
  const auto known =
      std::ranges::find_if(paths_, [&](const auto& path) { return path->through == through; });
  if (known != paths_.end()) {
    Path& path = **known;
    if (!path.broken) return path.path.get();
    if (Clock::now() < path.opened + kRetryAfter) {
      worker().counters.add(Count::udp_dial_failed);
      return nullptr;
    }
    paths_.erase(known);
  }
  auto fresh = std::make_unique<Path>(*this, through);
  auto opened = through->open_udp(*fresh);
  if (!opened) {
    worker().counters.add(Count::udp_dial_failed);
    log::warn("{} via {} failed: {}", flow.text(), through->tag(), opened.error().text());
    return nullptr;
  }
  fresh->path = std::move(*opened);
  log::debug("{} via {} opened", flow.text(), through->tag());
  paths_.push_back(std::move(fresh));
  return paths_.back()->path.get();
}

// ---- questions for names ------------------------------------------------------------------------

void UdpAssociation::answer_questions(const Course& course, const platform::Burst& burst) {
  Counters& counters = worker().counters;
  // A client may ask from one port for ever: each question is for the servers of now.
  const Generation& latest = *table_.dispatcher_.generation();
  const auto names = latest.names ? latest.names : generation_->names;
  sent_ += burst.count;
  for (std::size_t i = 0; i < burst.count; ++i) {
    const auto datagram = burst[i];
    auto received =
        dns::parse_query({reinterpret_cast<const std::uint8_t*>(datagram.data()), datagram.size()});
    if (!received.query) {
      counters.add(Count::dns_malformed);
      if (!received.error.empty()) tell(course.asked, received.error);
      continue;
    }
    counters.add(Count::dns_in);
    const dns::Query& query = *received.query;
    const std::size_t limit = std::min<std::size_t>(query.udp_size, kMaxAnswer);
    dns::Service::Progress progress;
    const auto answer = names->answer_at_once(query, {&course.flow, limit}, progress);
    if (answer) {
      tell(course.asked, *answer);
    } else if (table_.questions_ >= kMaxQuestions) {
      counters.add(Count::dns_overload);
    } else {
      asio::co_spawn(worker().executor(),
                     answer_later(names, course.flow, course.asked, std::move(*received.query),
                                  limit, progress),
                     asio::detached);
    }
  }
}

Task<> UdpAssociation::answer_later(std::shared_ptr<dns::Service> names, Flow flow, Endpoint asked,
                                    dns::Query query, std::size_t limit,
                                    dns::Service::Progress progress) {
  const auto weak = weak_from_this();
  struct Counted {
    explicit Counted(std::size_t& of) : count(of) { ++count; }
    ~Counted() { --count; }
    std::size_t& count;
  } const counted(table_.questions_);  // the table outlives all that runs on the worker
  const dns::Asker asker{&flow, limit};
  const dns::Bytes answer = co_await names->answer(query, asker, progress);
  if (const auto alive = weak.lock()) alive->tell(asked, answer);
}

void UdpAssociation::tell(const Endpoint& asked, const dns::Bytes& message) {
  if (message.empty()) return;
  std::vector<std::byte> copy(Worker::kHeadroom + message.size());
  std::ranges::copy(std::as_bytes(std::span(message)), copy.begin() + Worker::kHeadroom);
  last_activity_ = Clock::now();
  ++received_;
  worker().counters.add(Count::udp_out);
  table_.back_.answer(asked, client(),
                      platform::Burst::single(copy, Worker::kHeadroom, message.size()));
}

// ---- to the client ------------------------------------------------------------------------------

void UdpAssociation::reached(const Target& target, const Endpoint& real) {
  for (const auto& [asked, course] : courses_) {
    const bool meant = course->unreached && course->target.name == target.name &&
                       course->target.endpoint.port == target.endpoint.port;
    if (!meant) continue;
    origins_[real] = asked;
    course->unreached = false;
    --unreached_;
  }
}

/// Where the client believes that an answer comes from: where it has sent last of all that goes
/// there.
Endpoint UdpAssociation::seen_by_client(const Endpoint& from) {
  if (const auto moved = origins_.find(from); moved != origins_.end()) return moved->second;
  if (unreached_ == 0) return from;
  const Course* oldest = nullptr;
  for (const auto& [asked, course] : courses_) {
    if (course->state != Course::State::settled) continue;
    if (course->target.has_address() && course->target.endpoint == from) return from;
    const bool may_be = course->unreached && course->target.endpoint.port == from.port;
    if (may_be && (oldest == nullptr || course->used < oldest->used)) oldest = course.get();
  }
  if (oldest == nullptr) return from;
  const Endpoint asked = oldest->asked;
  const Target target = oldest->target;
  reached(target, from);
  return asked;
}

void UdpAssociation::deliver(const Endpoint& from, const platform::Burst& burst) {
  last_activity_ = Clock::now();
  const bool first = received_ == 0;
  received_ += burst.count;
  // Answered: from now on another timeout holds, which may be the shorter one.
  if (first) worker().watchdog.hasten(*this);
  worker().counters.add(Count::udp_out, burst.count);
  table_.back_.answer(seen_by_client(from), client(), burst);
}

void UdpAssociation::failed(Path& path, const Error& error) {
  const bool exhausted = error.code == EMFILE || error.code == ENFILE;
  worker().counters.add(exhausted ? Count::udp_no_descriptor : Count::udp_dial_failed);
  log::warn("{} via {} failed: {}", first_.text(), path.through->tag(), error.text());
  path.broken = true;  // it is in the middle of a call: a later datagram replaces it
  table_.back_.refuse(client(), first_.destination, {});
}

Clock::time_point UdpAssociation::deadline() const {
  const Clock::duration two_way =
      std::min(two_way_.value_or(table_.limits_.two_way), table_.limits_.two_way);
  if (received_ > 0 && !only_dns_) return last_activity_ + two_way;
  const Clock::duration kind = only_dns_ ? kDnsTimeout : kOneWayTimeout;
  return last_activity_ + std::min(kind, two_way);
}

void UdpAssociation::expire() {
  table_.close(*this, "ended");
}

}  // namespace hairpin::dispatch
