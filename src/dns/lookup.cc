// What the program itself asks: addresses of a name, in both families at the same time.
#include <algorithm>

#include "dns/service.h"

namespace hairpin::dns {

/// What has been found for one name, in both families at the same time.
struct Service::Lookup {
  std::string name;
  std::optional<std::size_t> server;
  config::Strategy strategy = config::Strategy::as_is;
  std::optional<Prefix> client_subnet;
  std::vector<IpAddr> v4;
  std::vector<IpAddr> v6;
  std::optional<Error> error;
  int waiting = 0;
  Timer* timer = nullptr;
};

Task<Service::Found> Service::addresses(const Lookup& lookup, std::uint16_t type) {
  const std::string& name = lookup.name;
  const auto of_type = [type](std::vector<IpAddr> found) {
    std::erase_if(found, [type](const IpAddr& one) { return one.is_v4() != (type == kA); });
    return found;
  };
  auto question = Question::of(name, type);
  if (!question) co_return Error{"it is no name"};
  Query query;
  query.question = std::move(*question);
  query.recursion_desired = true;
  const Asker asker;
  Progress progress;
  progress.options.strategy = lookup.strategy;
  progress.options.client_subnet = lookup.client_subnet;
  for (;; decline(progress)) {
    if (lookup.server) {
      progress.server = *lookup.server;
      progress.final = true;
    } else if (const Step step = next(query, asker, progress); step == Step::predefined) {
      co_return of_type(predefined(query, progress).addresses);
    } else if (step != Step::ask) {
      co_return Error{"a rule rejects it"};
    }
    auto told = tell_at_once(query, progress);
    if (!told) {
      auto asked = co_await ask(query, progress);
      if (!asked) co_return asked.error();
      told = std::move(*asked);
    }
    if (told->answer->failed) co_return Error{"no server has answered"};
    if (accepts(query, asker, progress, *told->answer)) co_return of_type(told->answer->addresses);
  }
}

Task<> Service::look_up_one(std::shared_ptr<Lookup> lookup, std::uint16_t type) {
  const auto self = shared_from_this();
  ++lookup->waiting;
  auto found = co_await addresses(*lookup, type);
  if (found) {
    (type == kA ? lookup->v4 : lookup->v6) = std::move(*found);
  } else {
    lookup->error = found.error();
  }
  if (--lookup->waiting == 0 && lookup->timer != nullptr) lookup->timer->cancel();
}

Task<Addresses> Service::lookup(const std::string& name, const config::DomainResolver& resolver,
                                Clock::duration patience) {
  const auto self = shared_from_this();
  const config::Strategy strategy = resolver.strategy.value_or(dns_.strategy);
  const auto state = std::make_shared<Lookup>();
  state->name = name;
  state->strategy = strategy;
  state->client_subnet = resolver.client_subnet;
  // A tag that is not known is one of a configuration before: whoever is asked by rules will do.
  const auto named = std::ranges::find(servers_, resolver.server, &Server::tag);
  if (!resolver.server.empty() && named != servers_.end() && named->kind != Server::Kind::fake) {
    state->server = static_cast<std::size_t>(named - servers_.begin());
  }
  if (strategy != config::Strategy::ipv6_only) {
    asio::co_spawn(worker_.executor(), look_up_one(state, kA), asio::detached);
  }
  if (strategy != config::Strategy::ipv4_only) {
    asio::co_spawn(worker_.executor(), look_up_one(state, kAaaa), asio::detached);
  }
  if (state->waiting != 0) {
    Timer timer(worker_.executor());
    timer.expires_after(patience);
    state->timer = &timer;
    (void)co_await timer.async_wait(kAsTuple);
    state->timer = nullptr;
  }
  const bool v6_first =
      strategy == config::Strategy::prefer_ipv6 || strategy == config::Strategy::ipv6_only;
  std::vector<IpAddr> all = v6_first ? state->v6 : state->v4;
  const std::vector<IpAddr>& rest = v6_first ? state->v4 : state->v6;
  all.insert(all.end(), rest.begin(), rest.end());
  if (!all.empty()) co_return all;
  if (state->waiting != 0) co_return Error{"resolve " + name, ETIMEDOUT};
  if (state->error)
    co_return Error{"resolve " + name + ": " + state->error->what, state->error->code};
  co_return Error{"resolve " + name + ": it has no address", ENXIO};
}

}  // namespace hairpin::dns
