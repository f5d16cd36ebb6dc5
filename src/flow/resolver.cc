#include "flow/resolver.h"

#include <mutex>
#include <thread>

#include "platform/names.h"

namespace hairpin {

namespace {

/// How long an answer is kept. Proxies move seldom, and a dead one is asked about again soon.
constexpr auto kKeepAnswer = std::chrono::seconds(60);
constexpr auto kKeepFailure = std::chrono::seconds(2);

}  // namespace

struct Resolver::Mailbox {
  std::mutex mutex;
  Resolver* owner = nullptr;  ///< Null when it is gone.
};

Resolver::Resolver(const Executor& executor)
    : executor_(executor), mailbox_(std::make_shared<Mailbox>()) {
  mailbox_->owner = this;
}

Resolver::~Resolver() {
  const std::lock_guard lock(mailbox_->mutex);
  mailbox_->owner = nullptr;
}

void Resolver::ask(const std::string& host) {
  std::thread([mailbox = mailbox_, host] {
    Addresses answer = platform::look_up(host);
    const std::lock_guard lock(mailbox->mutex);
    if (mailbox->owner == nullptr) return;
    // The owner cannot go before this is posted; after it has gone, its context runs nothing.
    asio::post(mailbox->owner->executor_,
               [owner = mailbox->owner, host, answer = std::move(answer)]() mutable {
                 owner->answered(host, std::move(answer));
               });
  }).detach();
}

void Resolver::answered(const std::string& host, Addresses answer) {
  Entry& entry = entries_[host];
  entry.asking = false;
  entry.until = Clock::now() + (answer ? Clock::duration(kKeepAnswer) : kKeepFailure);
  const bool known = entry.answer && entry.answer->has_value();
  if (answer || !known) entry.answer = std::move(answer);
  for (Timer* waiting : entry.waiting) waiting->cancel();
}

void Resolver::remember(const std::string& host, std::vector<IpAddr> addresses) {
  answered(host, std::move(addresses));
}

Task<Addresses> Resolver::resolve(std::string host, Clock::duration patience) {
  if (const auto address = IpAddr::parse(host)) co_return std::vector<IpAddr>{*address};
  Entry& entry = entries_[host];  // stays where it is: unordered_map moves no element
  const bool fresh = entry.answer && Clock::now() < entry.until;
  if (!fresh && !entry.asking) {
    entry.asking = true;
    ask(host);
  }
  if (fresh || (entry.answer && entry.answer->has_value())) co_return *entry.answer;
  Timer timer(executor_);
  timer.expires_after(patience);
  const auto place = entry.waiting.insert(entry.waiting.end(), &timer);
  auto [ec] = co_await timer.async_wait(kAsTuple);
  entry.waiting.erase(place);
  if (!ec) co_return Error{"resolve " + host, ETIMEDOUT};
  co_return *entry.answer;
}

}  // namespace hairpin
