#include "dns/service.h"

#include <algorithm>

#include "base/log.h"
#include "dns/https_upstream.h"
#include "dns/local.h"

namespace hairpin::dns {

namespace {

/// Before a question is given up. Clients ask again after five seconds, and join those who wait.
constexpr auto kPatience = std::chrono::seconds(8);
/// As sing-box.
constexpr std::uint32_t kFakeTtl = 600;
constexpr std::uint32_t kHostsTtl = 600;

std::optional<std::size_t> find(const std::vector<config::DnsServer>& servers,
                                const std::string& tag) {
  const auto found = std::ranges::find(servers, tag, &config::DnsServer::tag);
  if (tag.empty() || found == servers.end()) return std::nullopt;
  return static_cast<std::size_t>(found - servers.begin());
}

/// Stands for a server that cannot be asked; why not has been said.
class Unusable final : public Upstream {
 public:
  Task<Result<Bytes>> exchange(const Query&, Clock::duration) override {
    co_return Error{"the server cannot be used"};
  }
};

/// Files may be long: they are read once for all workers.
Hosts hosts_of(const config::DnsServer& server) {
  const auto* settings = std::get_if<config::DnsHosts>(&server.kind);
  if (settings == nullptr) return {};
  Hosts hosts = settings->predefined;
  for (const std::string& path : settings->paths) read_hosts(path, hosts);
  return hosts;
}

bool asks_address(const Query& query) {
  return query.question.type == kA || query.question.type == kAaaa;
}

}  // namespace

Rules::Rules(const config::Config& config, std::uint64_t epoch) : epoch_(epoch) {
  const auto find_set =
      [&config](const std::string& tag) -> std::shared_ptr<const rule::CompiledSet> {
    const auto found = std::ranges::find(config.route.rule_sets, tag, &config::RuleSet::tag);
    return found == config.route.rule_sets.end() ? nullptr : found->rules;
  };
  for (const config::DnsRule& rule : config.dns.rules) {
    Compiled compiled{rule::CompiledRule(rule.rule, find_set), false, 0};
    compiled.about_answer = rule.ip_accept_any || compiled.rule.needs().addresses;
    compiled.server = dns::find(config.dns.servers, rule.server).value_or(0);
    asks_process_ |= compiled.rule.needs().process;
    asks_mac_ |= compiled.rule.needs().mac;
    rules_.push_back(std::move(compiled));
  }
  for (const config::DnsServer& server : config.dns.servers) hosts_.push_back(hosts_of(server));
  for (const config::TunInbound& inbound : config.inbounds) inbounds_.push_back(inbound.tag);
  final_ = dns::find(config.dns.servers, config.dns.final).value_or(0);
}

Service::Service(Worker& worker, std::shared_ptr<Store> store, std::shared_ptr<const Rules> rules,
                 const config::Config& config,
                 const std::vector<std::shared_ptr<outbound::Outbound>>& outbounds,
                 bool mark_sockets)
    : worker_(worker), store_(std::move(store)), rules_(std::move(rules)), dns_(config.dns) {
  for (const config::DnsServer& server : dns_.servers) {
    servers_.push_back(make_server(config, server, outbounds, mark_sockets));
    servers_.back().hosts = &rules_->hosts_[servers_.size() - 1];
  }
}

Service::Server Service::make_server(
    const config::Config& config, const config::DnsServer& from,
    const std::vector<std::shared_ptr<outbound::Outbound>>& outbounds, bool mark_sockets) {
  Server server;
  server.tag = from.tag;
  if (std::holds_alternative<config::DnsHosts>(from.kind)) {
    server.kind = Server::Kind::hosts;
    return server;
  }
  if (std::holds_alternative<config::DnsFakeIp>(from.kind)) {
    server.kind = Server::Kind::fake;
    return server;
  }
  std::shared_ptr<outbound::Outbound> through;
  const auto named = std::ranges::find(config.outbounds, from.detour, &config::Outbound::tag);
  if (!from.detour.empty() && named != config.outbounds.end()) {
    through = outbounds[static_cast<std::size_t>(named - config.outbounds.begin())];
  } else {
    through = outbound::make_direct("dns " + from.tag, config, from.dial, worker_, mark_sockets);
  }
  if (std::holds_alternative<config::DnsLocal>(from.kind)) {
    server.upstream = std::make_shared<LocalUpstream>(worker_, through);
    return server;
  }
  const auto remote = [&](const config::Server& to) {
    const auto address = IpAddr::parse(to.host);
    return Remote{through,
                  address ? Target{"", {*address, to.port}} : Target{to.host, {{}, to.port}},
                  nullptr};
  };
  const auto secured = [&](const config::Server& to, const config::Tls& tls) {
    Remote made = remote(to);
    auto client = outbound::TlsClient::make(tls, to.host);
    if (client) {
      made.tls = std::move(*client);
    } else {
      log::error("dns: server \"{}\": {}", from.tag, client.error().text());
    }
    return made;
  };
  if (const auto* udp = std::get_if<config::DnsUdp>(&from.kind)) {
    server.upstream = std::make_shared<UdpUpstream>(worker_, remote(udp->server));
  } else if (const auto* tcp = std::get_if<config::DnsTcp>(&from.kind)) {
    server.upstream = std::make_shared<StreamUpstream>(worker_, remote(tcp->server));
  } else if (const auto* tls = std::get_if<config::DnsTls>(&from.kind)) {
    Remote to = secured(tls->server, tls->tls);
    if (to.tls) server.upstream = std::make_shared<StreamUpstream>(worker_, std::move(to));
  } else if (const auto* https = std::get_if<config::DnsHttps>(&from.kind)) {
    config::Tls offered = https->tls;
    offered.alpn = {"h2"};
    Remote to = secured(https->server, offered);
    std::string host = offered.server_name.empty() ? https->server.host : offered.server_name;
    if (host.find(':') != std::string::npos) host = "[" + host + "]";
    const std::string port =
        https->server.port == 443 ? "" : ":" + std::to_string(https->server.port);
    if (to.tls) {
      server.upstream = std::make_shared<HttpsUpstream>(worker_, std::move(to), host + port,
                                                        https->path, https->headers);
    }
  }
  if (!server.upstream) server.upstream = std::make_shared<Unusable>();
  return server;
}

rule::Facts Service::facts_of(const Query& query, const Asker& asker,
                              const std::string& name) const {
  rule::Facts facts;
  facts.domain = name;
  facts.query_type = query.question.type;
  if (query.question.type == kA) facts.ip_version = Family::v4;
  if (query.question.type == kAaaa) facts.ip_version = Family::v6;
  facts.has_address = false;
  facts.network = rule::Network::udp;
  if (asker.flow != nullptr) {
    facts.network = asker.flow->network;
    facts.source = asker.flow->client;
    facts.destination.port = asker.flow->destination.port;
    facts.inbound = rules_->inbounds_[asker.flow->inbound];
    facts.process = asker.flow->process.get();
    facts.source_mac = asker.flow->source_mac;
  }
  return facts;
}

Service::Step Service::next(const Query& query, const Asker& asker, Progress& progress) const {
  const bool asks = progress.rule < rules_->rules_.size();
  const std::string name = asks ? query.question.name() : std::string();
  rule::Facts facts = facts_of(query, asker, name);
  facts.before_answer = true;
  for (; progress.rule < rules_->rules_.size(); ++progress.rule) {
    const Rules::Compiled& compiled = rules_->rules_[progress.rule];
    const config::DnsRule& rule = dns_.rules[progress.rule];
    const bool routes = rule.action == config::DnsAction::route;
    // Only a server has an answer, and only these have addresses.
    if (compiled.about_answer && (!routes || !asks_address(query))) continue;
    if (!compiled.rule.matches(facts)) continue;
    progress.declined = progress.options;
    progress.options.disable_cache |= rule.options.disable_cache;
    if (rule.options.rewrite_ttl) progress.options.rewrite_ttl = rule.options.rewrite_ttl;
    if (rule.options.strategy) progress.options.strategy = rule.options.strategy;
    if (rule.options.client_subnet) progress.options.client_subnet = rule.options.client_subnet;
    switch (rule.action) {
      case config::DnsAction::options:
        continue;  // they stay
      case config::DnsAction::reject:
        return Step::reject;
      case config::DnsAction::drop:
        return Step::drop;
      case config::DnsAction::predefined:
        return Step::predefined;
      case config::DnsAction::route:
        break;
    }
    const bool fake = servers_[compiled.server].kind == Server::Kind::fake;
    if (fake && asker.flow == nullptr) {  // its addresses lead back to us
      progress.options = progress.declined;
      continue;
    }
    progress.server = compiled.server;
    return Step::ask;
  }
  progress.server = rules_->final_;
  progress.final = true;
  return Step::ask;
}

bool Service::accepts(const Query& query, const Asker& asker, const Progress& progress,
                      const Answer& answer) const {
  if (progress.final) return true;
  const Rules::Compiled& compiled = rules_->rules_[progress.rule];
  if (!compiled.about_answer) return true;
  if (dns_.rules[progress.rule].ip_accept_any && !answer.addresses.empty()) return true;
  if (!compiled.rule.needs().addresses) return false;
  const std::string name = query.question.name();
  rule::Facts facts = facts_of(query, asker, name);
  facts.addresses = answer.addresses;
  return compiled.rule.matches(facts);
}

config::Strategy Service::strategy_of(const Progress& progress) const {
  return progress.options.strategy.value_or(dns_.strategy);
}

const std::optional<Prefix>& Service::subnet_of(const Progress& progress) const {
  return progress.options.client_subnet ? progress.options.client_subnet : dns_.client_subnet;
}

std::string Service::key_of(const Query& query, const Progress& progress) const {
  const Question& question = query.question;
  std::string key = std::to_string(rules_->epoch_) + " " + question.key();
  key += static_cast<char>(question.type >> 8);
  key += static_cast<char>(question.type & 0xff);
  // What is told to one network may not be what another one is told.
  const std::optional<Prefix>& subnet = subnet_of(progress);
  key += static_cast<char>((query.dnssec_ok ? 1 : 0) | (query.checking_disabled ? 2 : 0) |
                           (subnet ? 4 : 0));
  if (subnet) key += subnet->text() + " ";
  return key + servers_[progress.server].tag;
}

std::optional<Service::Told> Service::tell_at_once(const Query& query, const Progress& progress) {
  const config::Strategy strategy = strategy_of(progress);
  const Question& question = query.question;
  if ((strategy == config::Strategy::ipv4_only && question.type == kAaaa) ||
      (strategy == config::Strategy::ipv6_only && question.type == kA)) {
    return Told{std::make_shared<Answer>(make_answer(question, kNoError))};
  }
  const Server& server = servers_[progress.server];
  if (server.kind == Server::Kind::hosts) {
    const auto known = server.hosts->find(question.name());
    if (known == server.hosts->end()) {
      return Told{std::make_shared<Answer>(make_answer(question, kNxDomain))};
    }
    return Told{std::make_shared<Answer>(make_answer(question, known->second, kHostsTtl))};
  }
  if (server.kind == Server::Kind::fake) {
    std::vector<IpAddr> addresses;
    if (asks_address(query)) {
      const Family family = question.type == kA ? Family::v4 : Family::v6;
      const auto address = store_->fake_address(question.name(), family);
      if (address) addresses.push_back(*address);
    }
    return Told{std::make_shared<Answer>(make_answer(question, addresses, kFakeTtl))};
  }
  if (progress.options.disable_cache) return std::nullopt;
  Cache::Hit hit = store_->find(key_of(query, progress));
  if (!hit.answer) return std::nullopt;
  worker_.counters.add(Count::dns_cached);
  return Told{std::move(hit.answer), hit.age};
}

namespace {

/// Lands a flight that nobody has landed: those who wait must not wait for ever.
class Flight {
 public:
  Flight(std::shared_ptr<Store> store, std::string key)
      : store_(std::move(store)), key_(std::move(key)) {}
  ~Flight() {
    if (!landed_) store_->land(key_, Error{"the question was given up"});
  }
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  void land(const Outcome& outcome) {
    landed_ = true;
    store_->land(key_, outcome);
  }

 private:
  std::shared_ptr<Store> store_;
  std::string key_;
  bool landed_ = false;
};

/// Where the outcome of somebody else's question is put, if anybody still waits for it.
struct Seat {
  std::optional<Outcome> outcome;
  Timer* timer = nullptr;
};

}  // namespace

Task<Result<Service::Told>> Service::ask(const Query& query, const Progress& progress) {
  const std::string key = key_of(query, progress);
  const auto seat = std::make_shared<Seat>();
  const auto landed = [seat, executor = worker_.executor()](const Outcome& outcome) {
    asio::post(executor, [seat, outcome] {
      seat->outcome = outcome;
      if (seat->timer != nullptr) seat->timer->cancel();
    });
  };
  if (store_->board(key, landed)) {
    Timer timer(worker_.executor());
    timer.expires_after(kPatience);
    seat->timer = &timer;
    if (!seat->outcome) (void)co_await timer.async_wait(kAsTuple);
    seat->timer = nullptr;
    if (!seat->outcome) co_return Error{"ask for " + query.question.name(), ETIMEDOUT};
    if (!*seat->outcome) co_return seat->outcome->error();
    co_return Told{**seat->outcome};
  }
  Flight flight(store_, key);
  const Server& server = servers_[progress.server];
  worker_.counters.add(Count::dns_asked);
  Query sent = query;
  sent.client_subnet = subnet_of(progress);
  auto message = co_await server.upstream->exchange(sent, kPatience);
  Outcome outcome = Error{"", 0};
  if (message) {
    auto answer = parse_answer(*message, query.question);
    if (answer) {
      outcome = std::make_shared<const Answer>(std::move(*answer));
    } else {
      outcome = answer.error();
    }
  } else {
    outcome = message.error();
  }
  if (outcome && !progress.options.disable_cache) store_->keep(key, *outcome);
  if (!outcome) {
    worker_.counters.add(Count::dns_failed);
    if (may_tell()) {
      log::warn("dns: {} by server \"{}\" failed: {}", query.question.name(), server.tag,
                outcome.error().text());
    }
    Answer failure = make_answer(query.question, kServFail);
    failure.failed = true;
    if (!progress.options.disable_cache) {
      store_->keep(key, std::make_shared<const Answer>(std::move(failure)));
    }
  }
  flight.land(outcome);
  if (!outcome) co_return outcome.error();
  co_return Told{*outcome};
}

Bytes Service::finish(const Query& query, const Asker& asker, const Progress& progress,
                      const Told& told) {
  const bool fake = servers_[progress.server].kind == Server::Kind::fake;
  if (dns_.reverse_mapping && asker.flow != nullptr && !fake && !told.answer->addresses.empty()) {
    store_->remember(told.answer->addresses, query.question.name());
  }
  if (!progress.options.rewrite_ttl) return render(*told.answer, query, told.age, asker.limit);
  Answer changed = *told.answer;
  set_ttl(changed, *progress.options.rewrite_ttl);
  return render(changed, query, 0, asker.limit);
}

Bytes Service::fail(const Query& query, const Asker& asker, Rcode rcode) const {
  return render(make_answer(query.question, rcode), query, 0, asker.limit);
}

Answer Service::predefined(const Query& query, const Progress& progress) const {
  const config::DnsPredefined& said = dns_.rules[progress.rule].predefined;
  return make_answer(query.question, static_cast<Rcode>(said.rcode), said.answer, said.ns,
                     said.extra);
}

/// Its rule was not fulfilled: the ones behind are asked, as if it had not been there.
void Service::decline(Progress& progress) {
  ++progress.rule;
  progress.options = progress.declined;
}

bool Service::may_tell() {
  constexpr auto kWindow = std::chrono::seconds(1);
  constexpr unsigned kMost = 50;
  if (const auto now = Clock::now(); now - telling_since_ > kWindow) {
    telling_since_ = now;
    told_ = 0;
  }
  return ++told_ <= kMost;
}

std::optional<Bytes> Service::answer_at_once(const Query& query, const Asker& asker,
                                             Progress& progress) {
  for (;; decline(progress)) {
    switch (next(query, asker, progress)) {
      case Step::drop:
        return Bytes();
      case Step::reject:
        return refuse(query, asker, progress);
      case Step::predefined:
        return render(predefined(query, progress), query, 0, asker.limit);
      case Step::ask:
        break;
    }
    const auto told = tell_at_once(query, progress);
    if (!told) return std::nullopt;
    if (told->answer->failed) return fail(query, asker, kServFail);
    if (accepts(query, asker, progress, *told->answer)) {
      return finish(query, asker, progress, *told);
    }
  }
}

Bytes Service::refuse(const Query& query, const Asker& asker, const Progress& progress) {
  const bool tells =
      dns_.rules[progress.rule].no_drop || rejections_.tells(progress.rule, Clock::now());
  if (tells) return fail(query, asker, kRefused);
  worker_.counters.add(Count::reject_silenced);
  return {};
}

Task<Bytes> Service::answer(const Query& query, const Asker& asker, Progress& progress) {
  const auto self = shared_from_this();
  for (;;) {
    const auto told = co_await ask(query, progress);
    if (!told) co_return fail(query, asker, kServFail);
    if (accepts(query, asker, progress, *told->answer)) {
      co_return finish(query, asker, progress, *told);
    }
    decline(progress);
    if (auto now = answer_at_once(query, asker, progress)) co_return std::move(*now);
  }
}

}  // namespace hairpin::dns
