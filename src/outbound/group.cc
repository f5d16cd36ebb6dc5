#include "outbound/group.h"

#include <algorithm>

#include "base/log.h"
#include "platform/stream.h"
#include "wire/http_connect.h"

namespace hairpin::outbound {

namespace {

/// For the answer of the URL's server, once there is a connection.
constexpr auto kAskTimeout = std::chrono::seconds(10);

bool any(const std::vector<bool>& flags) {
  return std::ranges::find(flags, true) != flags.end();
}

}  // namespace

// ---- flows --------------------------------------------------------------------------------------

/// One client's datagrams, through one member after the other. It is the sink of its member's path.
class Group::Path final : public UdpPath, private UdpSink {
 public:
  Path(Self group, UdpSink& sink) : group_(std::move(group)), sink_(sink) {}

  Result<> open() {
    Tried tried(group_->members_.size());
    Error last{"group " + group_->tag() + " has no member for UDP", EOPNOTSUPP};
    for (;;) {
      const auto next = group_->pick(config::Network::udp, tried);
      if (!next) return last;
      tried[*next] = true;
      auto opened = group_->members_[*next]->open_udp(*this);
      if (opened) {
        path_ = std::move(*opened);
        member_ = *next;
        broken_ = false;
        proven_ = false;
        return {};
      }
      last = opened.error();
      if (!last.of_the_way || group_->how() == config::Group::How::selector) return last;
      group_->state_->failed(*next);
    }
  }

  void send(const Target& to, const platform::Burst& burst) override {
    group_->state_->touch();
    const bool moved = group_->state_->settings().interrupt_exist_connections &&
                       group_->state_->current(config::Network::udp) != member_;
    if (broken_ || moved) {
      if (auto opened = open(); !opened) return sink_.failed(opened.error());
    }
    path_->send(to, burst);
  }

 private:
  void deliver(const Endpoint& from, const platform::Burst& burst) override {
    if (!proven_) group_->state_->works(member_);
    proven_ = true;
    sink_.deliver(from, burst);
  }

  void failed(const Error& error) override {
    broken_ = true;  // it is in the middle of a call: the next datagram replaces it
    Tried tried(group_->members_.size());
    tried[member_] = true;
    if (error.of_the_way && group_->how() != config::Group::How::selector) {
      group_->state_->failed(member_);
      const auto next = group_->pick(config::Network::udp, tried);
      if (next && !group_->state_->health()[*next].failed) return;
    }
    sink_.failed(error);
  }

  Self group_;
  UdpSink& sink_;
  std::unique_ptr<UdpPath> path_;
  std::size_t member_ = 0;
  bool broken_ = false;
  bool proven_ = false;  ///< Something has come back.
};

bool Group::carries(config::Network network) const {
  if (how() == config::Group::How::selector) {
    return members_[state_->current(network)]->carries(network);
  }
  return std::ranges::any_of(members_,
                             [network](const auto& member) { return member->carries(network); });
}

std::optional<std::size_t> Group::pick(config::Network network, const Tried& tried) {
  const std::size_t current = state_->current(network);
  const bool first_try = !any(tried);
  if (how() == config::Group::How::selector) {
    return first_try ? std::optional(current) : std::nullopt;
  }
  std::vector<bool> usable(members_.size());
  for (std::size_t i = 0; i < usable.size(); ++i) {
    usable[i] = !tried[i] && members_[i]->carries(network);
  }
  const auto health = state_->health();
  std::optional<std::size_t> choice;
  if (how() == config::Group::How::failover) {
    for (std::size_t i = 0; i < usable.size(); ++i) {
      if (usable[i] && !health[i].failed) break;
      if (usable[i] && state_->claim_retry(i)) return i;  // one flow finds out for all
    }
    choice = choose_first(health, usable);
  } else if (first_try && usable[current] && !health[current].failed) {
    return current;  // changed by measuring only
  } else {
    choice = choose_fastest(health, usable, current, Delay(state_->settings().tolerance));
  }
  if (choice && !health[*choice].failed) state_->use(network, *choice);
  return choice;
}

Task<Result<Connection>> Group::connect(Target to) {
  const auto self = shared_from_this();
  state_->touch();
  Tried tried(members_.size());
  Error last{"group " + tag() + " has no member for TCP", EOPNOTSUPP};
  for (;;) {
    const auto next = pick(config::Network::tcp, tried);
    if (!next) co_return last;
    tried[*next] = true;
    Outbound& member = *members_[*next];
    if (!member.carries(config::Network::tcp)) co_return last;
    auto connection = co_await member.connect(to);
    if (connection) {
      log::debug("group {}: {} by {}", tag(), to.text(), member.tag());
      state_->works(*next);
      track(*connection, *next);
      co_return std::move(*connection);
    }
    last = std::move(connection.error()).in(member.tag());
    if (!last.of_the_way || how() == config::Group::How::selector) co_return last;
    state_->failed(*next);
  }
}

Result<std::unique_ptr<UdpPath>> Group::open_udp(UdpSink& sink) {
  auto path = std::make_unique<Path>(std::static_pointer_cast<Group>(shared_from_this()), sink);
  if (auto opened = path->open(); !opened) return opened.error();
  return std::unique_ptr<UdpPath>(std::move(path));
}

bool Group::tracks_connections() const {
  return state_->settings().interrupt_exist_connections ||
         std::ranges::any_of(members_, [](const auto& one) { return one->tracks_connections(); });
}

void Group::track(Connection& connection, std::size_t member) {
  if (!state_->settings().interrupt_exist_connections) return;
  if (!connection.resets) connection.resets = std::make_shared<Resets>();
  auto tracked = std::make_unique<Tracked>(connection.socket.native_handle(), connection.resets,
                                           state_->member(member));
  tracked_.push_back(*tracked);
  connection.attachments.push_back(std::move(tracked));
}

void Group::interrupt(const std::string& member) {
  for (Tracked& connection : tracked_) {
    if (connection.through == member) continue;
    // Whoever reads it finds the end, and that it is none.
    connection.resets->by_remote = true;
    platform::shut_down(connection.socket);
  }
}

// ---- measuring ----------------------------------------------------------------------------------

void Group::start() {
  const auto weak = std::weak_ptr(std::static_pointer_cast<Group>(shared_from_this()));
  const Executor executor = worker_.executor();
  if (state_->settings().interrupt_exist_connections) {
    state_->on_change([weak, executor](const std::string& member) {
      if (weak.expired()) return false;
      asio::post(executor, [weak, member] {
        if (const auto alive = weak.lock()) alive->interrupt(member);
      });
      return true;
    });
  }
  if (how() != config::Group::How::urltest) return;
  const bool ours = state_->claim_measuring([weak, executor] {
    asio::post(executor, [weak] {
      const auto alive = weak.lock();
      if (!alive) return;
      asio::co_spawn(alive->worker_.executor(), measure(weak, alive->state_, alive->worker_),
                     asio::detached);
    });
  });
  if (ours) asio::co_spawn(executor, measure(weak, state_, worker_), asio::detached);
}

Task<> Group::measure(std::weak_ptr<Group> group, std::shared_ptr<GroupState> state,
                      Worker& worker) {
  while (!state->retired()) {
    if (const auto alive = group.lock()) {
      co_await alive->measure_all();
    } else {
      co_return;
    }
    if (state->rest_if_idle()) co_return;
    Timer timer(worker.executor(), state->settings().interval);
    co_await timer.async_wait(kAsTuple);
  }
}

Task<> Group::measure_all() {
  Timer all_done(worker_.executor(), Clock::time_point::max());
  std::size_t running = 0;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!members_[i]->carries(config::Network::tcp)) continue;
    ++running;
    asio::co_spawn(worker_.executor(), measure_one(i), [&](const std::exception_ptr&) {
      if (--running == 0) all_done.cancel();
    });
  }
  if (running != 0) co_await all_done.async_wait(kAsTuple);
  for (const config::Network network : {config::Network::tcp, config::Network::udp}) {
    std::vector<bool> usable;
    for (const auto& member : members_) usable.push_back(member->carries(network));
    const auto choice = choose_fastest(state_->health(), usable, state_->current(network),
                                       Delay(state_->settings().tolerance));
    if (choice) state_->use(network, *choice);
  }
}

Task<> Group::measure_one(std::size_t member) {
  const auto start = Clock::now();
  const auto asked = co_await ask(*members_[member]);
  const auto took = std::chrono::ceil<Delay>(Clock::now() - start);
  if (asked) {
    log::debug("group {}: {} takes {} ms", tag(), state_->member(member), took.count());
    state_->measured(member, took);
  } else {
    log::debug("group {}: {}: {}", tag(), state_->member(member), asked.error().text());
    state_->failed(member);
  }
}

Task<Result<>> Group::ask(Outbound& member) {
  const config::Url& url = state_->settings().url;
  Target target = target_of(url.server);
  auto connection = co_await member.connect(std::move(target));
  if (!connection) co_return connection.error();
  if (url.tls) {
    if (!tls_) {
      auto made = TlsClient::make(config::Tls{}, url.server.host);
      if (!made) co_return made.error();
      tls_ = std::move(*made);
    }
    auto secured = co_await start_tls(worker_, std::move(*connection), tls_, kAskTimeout);
    if (!secured) co_return secured.error();
    *connection = std::move(secured->connection);
  }
  Handshake exchange(worker_, *connection, kAskTimeout);
  const std::string request = "GET " + url.path + " HTTP/1.1\r\nHost: " + url.authority +
                              "\r\nUser-Agent: hairpin\r\nConnection: close\r\n\r\n";
  if (auto sent = co_await exchange.send(std::as_bytes(std::span(request))); !sent) {
    co_return sent.error();
  }
  // That there is an answer says that the way is there; what it says is not asked for.
  auto answer = co_await exchange.receive(http_connect::parse_response, http_connect::kMaxHead);
  if (!answer) co_return answer.error();
  co_return Result<>();
}

}  // namespace hairpin::outbound
