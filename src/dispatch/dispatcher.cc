#include "dispatch/dispatcher.h"

#include "base/log.h"
#include "dispatch/dns_stream.h"
#include "dispatch/sniff_client.h"
#include "relay/tcp_relay.h"

namespace hairpin::dispatch {

namespace {

const char* text(relay::Ending ending) {
  switch (ending) {
    case relay::Ending::closed:
      return "closed";
    case relay::Ending::reset:
      return "reset";
    case relay::Ending::idle:
      return "idle timeout";
  }
  return "";
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < 10'000) return std::to_string(bytes) + " B";
  if (bytes < 10'000'000) return std::to_string(bytes / 1000) + " kB";
  return std::to_string(bytes / 1'000'000) + " MB";
}

}  // namespace

bool Generation::identify(Flow& flow) const {
  if (stations != nullptr) flow.source_mac = stations->find(flow.client.address);
  if (!names) return true;
  dns::Store::Identity known = store->identify(flow.destination.address);
  if (known.fake) flow.destination.address = everything(flow.destination.address.family()).address;
  if (known.name.empty()) return !known.fake;
  flow.domain = std::move(known.name);
  flow.asked_for = true;
  return true;
}

bool Generation::tells(const route::Decision& decision) const {
  if (decision.action == config::Action::drop) return false;
  // What fails for another reason, or at its outbound, has no rule that could be silent.
  if (!decision.rule || rule(decision).action != config::Action::reject) return true;
  return rule(decision).no_drop || rejections->tells(*decision.rule, Clock::now());
}

Dispatcher::Dispatcher(Worker& worker, std::shared_ptr<const Policy> policy,
                       std::shared_ptr<dns::Store> store, bool mark_sockets)
    : worker_(worker), mark_sockets_(mark_sockets), store_(std::move(store)) {
  auto outbounds =
      outbound::make_outbounds(policy->config, *policy->groups, worker, mark_sockets, {});
  generation_ = make_generation(std::move(policy), std::move(outbounds));
}

std::shared_ptr<const Generation> Dispatcher::make_generation(
    std::shared_ptr<const Policy> policy,
    std::vector<std::shared_ptr<outbound::Outbound>> outbounds) {
  std::shared_ptr<dns::Service> names;
  if (policy->dns) {
    names = std::make_shared<dns::Service>(worker_, store_, policy->dns, policy->config, outbounds,
                                           mark_sockets_);
  }
  worker_.names = names;
  const bool asks_mac = policy->router.asks_mac() || (policy->dns && policy->dns->asks_mac());
  Stations* stations = asks_mac ? worker_.stations : nullptr;
  return std::make_shared<Generation>(
      Generation{std::move(policy), std::move(outbounds), store_, std::move(names), stations});
}

void Dispatcher::change(std::shared_ptr<const Policy> policy) {
  const outbound::Existing existing{&generation_->policy->config, generation_->policy->groups.get(),
                                    generation_->outbounds};
  auto outbounds =
      outbound::make_outbounds(policy->config, *policy->groups, worker_, mark_sockets_, existing);
  generation_ = make_generation(std::move(policy), std::move(outbounds));
}

/// A client that has been accepted. Its socket is watched from when somebody waits for it.
class Dispatcher::Client {
 public:
  Client(Worker& worker, DetachedStream stream) : worker_(worker), detached_(std::move(stream)) {}

  /// Null after telling why not; the client is gone then.
  Stream* watch(const Flow& flow) {
    if (watched_) return &*watched_;
    auto watched = worker_.watch(std::move(detached_.socket));
    if (watched) return &watched_.emplace(std::move(*watched), detached_.resets);
    worker_.counters.add(Count::tcp_no_descriptor);
    log::warn("{} refused: {}", flow.text(), watched.error().text());
    return nullptr;
  }
  void reset() {
    if (watched_) detached_.socket = Fd(watched_->socket.release());
    detached_.reset_on_close();
    detached_.socket.reset();
  }

 private:
  Worker& worker_;
  DetachedStream detached_;
  std::optional<Stream> watched_;
};

bool Dispatcher::is_loop(const Capture& capture, const Flow& flow) {
  if (!capture.same_namespace || !worker_.loop_guard.is_own_tcp(flow)) return false;
  worker_.counters.add(Count::tcp_looped);
  log::error(
      "{} is a connection of our own: it is routed back into the interface; "
      "exclude mark or destination from that route. Refused",
      flow.text());
  return true;
}

bool Dispatcher::asks_process() const {
  return generation_->asks_process() && worker_.who != nullptr;
}

bool Dispatcher::may_tell() {
  constexpr auto kWindow = std::chrono::seconds(1);
  constexpr unsigned kMost = 500;
  if (const auto now = Clock::now(); now - telling_since_ > kWindow) {
    if (untold_ != 0) log::warn("{} more flows failed or were rejected", untold_);
    telling_since_ = now;
    told_ = untold_ = 0;
  }
  if (told_ < kMost) {
    ++told_;
    return true;
  }
  ++untold_;
  return false;
}

Task<Result<outbound::Connection>> Dispatcher::connect(const Flow& flow,
                                                       outbound::Outbound& through) {
  const Target target = outbound::target_of(flow);
  auto server = co_await through.connect(target);
  if (!server) {
    const bool exhausted = server.error().code == EMFILE || server.error().code == ENFILE;
    worker_.counters.add(exhausted ? Count::tcp_no_descriptor : Count::tcp_dial_failed);
    if (may_tell()) {
      log::warn("{} via {} failed: {}", flow.text(), through.tag(), server.error().text());
    }
  }
  co_return server;
}

void Dispatcher::relay(Stream client, outbound::Connection server, const Flow& flow,
                       const std::string& through, Clock::duration idle) {
  worker_.counters.add(Count::tcp_opened);
  log::debug("{} via {} opened", flow.text(), through);
  relay::TcpRelay::start(worker_, std::move(client), std::move(server), idle,
                         [flow, through](const relay::Summary& summary) {
                           log::info("{} via {} {}: {} up, {} down", flow.text(), through,
                                     text(summary.ending), size_text(summary.sent),
                                     size_text(summary.received));
                         });
}

bool Dispatcher::identify(const Generation& generation, Flow& flow) {
  if (generation.identify(flow)) return true;
  worker_.counters.add(Count::fake_unknown);
  if (may_tell()) log::info("{} goes to an address that stands for no name. Rejected", flow.text());
  return false;
}

Task<bool> Dispatcher::resolve(const Generation& generation, const config::RouteRule& rule,
                               Flow& flow) {
  if (flow.has_address()) co_return true;
  auto found = co_await generation.names->lookup(flow.domain, rule.resolver, kResolvePatience);
  if (!found) {
    worker_.counters.add(Count::tcp_dial_failed);
    if (may_tell()) log::warn("{}: {}", flow.text(), found.error().text());
    co_return false;
  }
  flow.resolved(std::move(*found));
  co_return true;
}

Task<Dispatcher::Walked> Dispatcher::walk(const Generation& generation, Client* client, Flow& flow,
                                          route::Decision& decision) {
  if (!identify(generation, flow)) co_return Walked::refused;
  if (generation.asks_process() && worker_.who != nullptr) {
    flow.process = co_await find_owner(*worker_.who, flow, worker_.executor());
  }
  const route::Router& router = generation.policy->router;
  decision = generation.decide(flow);
  for (; !config::is_final(decision.action);
       decision = generation.decide(flow, *decision.rule + 1)) {
    const config::RouteRule& rule = generation.rule(decision);
    flow.apply(rule.options);
    if (rule.action == config::Action::resolve && !co_await resolve(generation, rule, flow)) {
      co_return Walked::refused;
    }
    if (rule.action != config::Action::sniff || !flow.protocol.empty()) continue;
    if (client != nullptr) {
      Stream* watched = client->watch(flow);
      if (watched == nullptr) co_return Walked::refused;
      co_await sniff_client(worker_, *watched, rule, flow);
    } else if (listens_to_client(rule, flow) && router.asks_content(flow, *decision.rule + 1)) {
      co_return Walked::unheard;
    }
  }
  if (decision.rule) flow.apply(generation.rule(decision).options);
  co_return Walked::decided;
}

void Dispatcher::note_bypass(const Generation& generation, const route::Decision& decision,
                             const Flow& flow, const Endpoint& asked) {
  if (decision.action != config::Action::bypass) return;
  worker_.counters.add(Count::bypassed);
  const bool everybody = !generation.policy->router.asks_more(*decision.rule);
  // Not an address that stands for a name, nor where a rule leads elsewhere.
  if (worker_.bypasses == nullptr || !everybody || flow.destination != asked) return;
  worker_.bypasses->add({flow.inbound, flow.network, asked, generation.policy});
}

bool Dispatcher::carries(const Generation& generation, const route::Decision& decision,
                         const Flow& flow) {
  if (generation.carries(decision)) return true;
  worker_.counters.add(Count::tcp_rejected);
  if (may_tell()) log::info("{} rejected", flow.text());
  return false;
}

Task<> Dispatcher::serve_tcp(DetachedStream stream, Flow flow, Clock::duration idle) {
  const auto generation = generation_;  // a change in the meantime is for others
  const Endpoint asked = flow.destination;
  Client client(worker_, std::move(stream));
  route::Decision decision;
  const Walked walked = co_await walk(*generation, &client, flow, decision);
  if (walked != Walked::decided) co_return client.reset();
  if (decision.action == config::Action::hijack_dns) {
    Stream* watched = client.watch(flow);
    if (watched == nullptr) co_return;
    co_return co_await serve_dns_stream(worker_, std::move(*watched), std::move(flow),
                                        generation->names);
  }
  if (!carries(*generation, decision, flow)) co_return client.reset();
  note_bypass(*generation, decision, flow, asked);
  const std::shared_ptr<outbound::Outbound> through = generation->outbound(decision);
  auto server = co_await connect(flow, *through);
  if (!server) co_return client.reset();
  Stream* watched = client.watch(flow);
  if (watched == nullptr) co_return;
  relay(std::move(*watched), std::move(*server), flow, through->tag(), idle);
}

SynAnswer Dispatcher::refusal(const Generation& generation, const route::Decision& decision) {
  if (generation.tells(decision)) return SynAnswer::reset;
  if (decision.action == config::Action::reject) worker_.counters.add(Count::reject_silenced);
  return SynAnswer::silence;
}

Task<Approach> Dispatcher::approach(Flow flow, bool may_bypass) {
  const auto generation = generation_;
  const Endpoint asked = flow.destination;
  route::Decision decision;
  const Walked walked = co_await walk(*generation, nullptr, flow, decision);
  if (walked == Walked::refused) co_return Approach{SynAnswer::reset};
  if (walked == Walked::unheard || decision.action == config::Action::hijack_dns) {
    co_return Approach{SynAnswer::let_in};
  }
  if (!carries(*generation, decision, flow)) {
    co_return Approach{refusal(*generation, decision)};
  }
  const bool bypassed = decision.action == config::Action::bypass && flow.destination == asked;
  const std::shared_ptr<outbound::Outbound> through = generation->outbound(decision);
  if (!(bypassed && may_bypass) && through->tracks_connections()) {
    co_return Approach{SynAnswer::let_in};
  }
  note_bypass(*generation, decision, flow, asked);
  if (bypassed && may_bypass) co_return Approach{SynAnswer::bypass};
  auto server = co_await connect(flow, *through);
  if (!server) co_return Approach{answer_to(server.error()), true};
  co_return Approach{
      SynAnswer::let_in, true,
      Prepared{std::move(flow), through->tag(), outbound::detach(std::move(*server))}};
}

void Dispatcher::serve_prepared(DetachedStream stream, Prepared prepared, Clock::duration idle) {
  Client client(worker_, std::move(stream));
  Stream* watched = client.watch(prepared.flow);
  if (watched == nullptr) return;
  auto server = outbound::attach(worker_, std::move(prepared.server));
  if (!server) {
    worker_.counters.add(Count::tcp_no_descriptor);
    log::warn("{} refused: {}", prepared.flow.text(), server.error().text());
    return client.reset();
  }
  relay(std::move(*watched), std::move(*server), prepared.flow, prepared.through, idle);
}

}  // namespace hairpin::dispatch
