#include "app/rule_updates.h"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "base/file.h"
#include "base/log.h"
#include "config/rule_set.h"
#include "outbound/fetch.h"
#include "rule/binary.h"

namespace hairpin::app {

namespace {

/// After a failure; then twice as long, up to an hour, or the interval.
constexpr auto kFirstRetry = std::chrono::seconds(10);
constexpr auto kLongestRetry = std::chrono::hours(1);

std::string etag_path(const config::RuleSet& set) {
  return set.path + ".etag";
}

/// How long the last look at the server has been ago; none has been: as long as can be.
Clock::duration age_of(const config::RuleSet& set) {
  const auto looked = stamp_of(etag_path(set));
  if (!stamp_of(set.path) || !looked) return Clock::duration::max();
  const auto age = std::filesystem::file_time_type::clock::now() - looked->changed;
  return std::max(std::chrono::duration_cast<Clock::duration>(age), Clock::duration::zero());
}

std::string etag_of(const config::RuleSet& set) {
  if (!stamp_of(set.path)) return "";
  std::ifstream in(etag_path(set));
  std::string etag;
  std::getline(in, etag);
  return etag;
}

/// Reads what was fetched as if it were the rule-set, and puts it in its place.
Result<> check_and_keep(config::RuleSet set, const std::string& body) {
  const std::string place = set.path;
  set.path += ".fetched";
  if (auto written = replace_file(set.path, body); !written) return written;
  config::Problems problems;
  config::load_rule_set(set, problems);
  if (!problems.empty()) {
    remove_file(set.path);
    return Error{problems.front().message};
  }
  return rename_file(set.path, place);
}

}  // namespace

void RuleUpdates::restart() {
  ++run_;
  for (Timer* timer : waiting_) timer->cancel();
  const auto generation = dispatcher_.generation();
  const config::Config& config = generation->policy->config;
  for (const config::RuleSet& set : config.route.rule_sets) {
    if (!set.url) continue;
    const auto named =
        std::ranges::find(config.outbounds, set.download_detour, &config::Outbound::tag);
    const bool found = !set.download_detour.empty() && named != config.outbounds.end();
    const auto index = found ? named - config.outbounds.begin() : 0;
    config::RuleSet followed = set;
    followed.rules.reset();
    followed.addresses.clear();
    asio::co_spawn(
        worker_.executor(),
        follow(std::move(followed), generation->outbounds[static_cast<std::size_t>(index)], run_),
        asio::detached);
  }
}

Task<> RuleUpdates::follow(config::RuleSet set, std::shared_ptr<outbound::Outbound> through,
                           unsigned run) {
  const auto self = shared_from_this();
  Clock::duration retry = kFirstRetry;
  for (;;) {
    const Clock::duration age = age_of(set);
    if (age < set.update_interval) co_await wait(set.update_interval - age);
    if (run != run_) co_return;
    const auto updated = co_await update(set, *through);
    if (run != run_) co_return;
    if (updated) {
      if (*updated) log::info("rule-set \"{}\" was fetched from {}", set.tag, set.url->authority);
      retry = kFirstRetry;
      continue;
    }
    log::warn("rule-set \"{}\" could not be fetched from {}: {}; tried again in {} s", set.tag,
              set.url->authority, updated.error().text(),
              std::chrono::duration_cast<std::chrono::seconds>(retry).count());
    co_await wait(std::min<Clock::duration>(retry, set.update_interval));
    if (run != run_) co_return;
    retry = std::min<Clock::duration>(retry * 2, kLongestRetry);
  }
}

/// Whether there is another file now.
Task<Result<bool>> RuleUpdates::update(const config::RuleSet& set, outbound::Outbound& through) {
  const std::string etag = etag_of(set);
  auto fetched = co_await outbound::fetch(worker_, through, *set.url, etag, rule::kMaxUnpacked);
  if (!fetched) co_return fetched.error();
  if (fetched->changed) {
    if (auto kept = co_await keep(set, std::move(fetched->body)); !kept) co_return kept.error();
  }
  if (auto noted = replace_file(etag_path(set), fetched->etag + "\n"); !noted) {
    co_return noted.error();
  }
  co_return fetched->changed;
}

Task<Result<>> RuleUpdates::keep(const config::RuleSet& set, std::string body) {
  struct Seat {
    std::optional<Result<>> outcome;
    Timer* timer = nullptr;
  };
  const auto seat = std::make_shared<Seat>();
  Timer timer(worker_.executor());
  timer.expires_at(Clock::time_point::max());
  seat->timer = &timer;
  asio::post(reader_, [seat, set, executor = worker_.executor(), bytes = std::move(body)] {
    auto outcome = check_and_keep(set, bytes);
    asio::post(executor, [seat, outcome = std::move(outcome)]() mutable {
      seat->outcome = std::move(outcome);
      if (seat->timer != nullptr) seat->timer->cancel();
    });
  });
  (void)co_await timer.async_wait(kAsTuple);
  seat->timer = nullptr;
  co_return std::move(*seat->outcome);
}

Task<> RuleUpdates::wait(Clock::duration duration) {
  Timer timer(worker_.executor());
  timer.expires_after(duration);
  const auto place = waiting_.insert(waiting_.end(), &timer);
  (void)co_await timer.async_wait(kAsTuple);
  waiting_.erase(place);
}

}  // namespace hairpin::app
