#include "dispatch/dispatcher.h"

#include "base/log.h"
#include "dispatch/sniff_client.h"
#include "relay/tcp_relay.h"

namespace hairpin::dispatch {

namespace {

void reset(Fd client) {
  platform::reset_on_close(client.get());
}

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

Dispatcher::Dispatcher(Worker& worker, std::shared_ptr<const Policy> policy, bool mark_sockets)
    : worker_(worker), mark_sockets_(mark_sockets) {
  auto outbounds =
      outbound::make_outbounds(policy->config, *policy->groups, worker, mark_sockets, {});
  generation_ = std::make_shared<Generation>(Generation{std::move(policy), std::move(outbounds)});
}

void Dispatcher::change(std::shared_ptr<const Policy> policy) {
  const outbound::Existing existing{&generation_->policy->config, generation_->policy->groups.get(),
                                    generation_->outbounds};
  auto outbounds =
      outbound::make_outbounds(policy->config, *policy->groups, worker_, mark_sockets_, existing);
  generation_ = std::make_shared<Generation>(Generation{std::move(policy), std::move(outbounds)});
}

bool Dispatcher::watch(Fd client, const Flow& flow, std::optional<Descriptor>& out) {
  auto socket = worker_.watch(std::move(client));
  if (socket) {
    out.emplace(std::move(*socket));
    return true;
  }
  worker_.counters.add(Count::tcp_no_descriptor);
  log::warn("{} refused: {}", flow.text(), socket.error().text());
  return false;
}

Task<> Dispatcher::serve_tcp(Fd client, Flow flow, Clock::duration idle) {
  const auto generation = generation_;  // a change in the meantime is for others
  std::optional<Descriptor> watched;
  if (generation->policy->router.asks_process() && worker_.who != nullptr) {
    flow.process = co_await find_owner(*worker_.who, flow, worker_.executor());
  }
  route::Decision decision = generation->decide(flow);
  for (; !config::is_final(decision.action);
       decision = generation->decide(flow, *decision.rule + 1)) {
    const config::RouteRule& rule = generation->rule(decision);
    flow.apply(rule.options);
    if (rule.action != config::Action::sniff || !flow.protocol.empty()) continue;
    if (!watched && !watch(std::move(client), flow, watched)) co_return;
    co_await sniff_client(worker_, *watched, rule, flow);
  }
  if (decision.rule) flow.apply(generation->rule(decision).options);
  const auto refuse = [&] { reset(watched ? Fd(watched->release()) : std::move(client)); };
  if (decision.action != config::Action::route ||
      !generation->outbound(decision)->carries(Network::tcp)) {
    worker_.counters.add(Count::tcp_rejected);
    log::info("{} rejected", flow.text());
    co_return refuse();
  }
  const std::shared_ptr<outbound::Outbound> through = generation->outbound(decision);
  auto server = co_await through->connect(outbound::target_of(flow));
  if (!server) {
    const bool exhausted = server.error().code == EMFILE || server.error().code == ENFILE;
    worker_.counters.add(exhausted ? Count::tcp_no_descriptor : Count::tcp_dial_failed);
    log::warn("{} via {} failed: {}", flow.text(), through->tag(), server.error().text());
    co_return refuse();
  }
  if (!watched && !watch(std::move(client), flow, watched)) co_return;
  worker_.counters.add(Count::tcp_opened);
  log::debug("{} via {} opened", flow.text(), through->tag());
  relay::TcpRelay::start(worker_, std::move(*watched), std::move(*server), idle,
                         [flow, through](const relay::Summary& summary) {
                           log::info("{} via {} {}: {} up, {} down", flow.text(), through->tag(),
                                     text(summary.ending), size_text(summary.sent),
                                     size_text(summary.received));
                         });
}

}  // namespace hairpin::dispatch
