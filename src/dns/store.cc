#include "dns/store.h"

#include <chrono>

#include "base/log.h"
#include "platform/monitor.h"

namespace hairpin::dns {

namespace {

/// Addresses whose names are known. They do not age: programs go on using an address long after its
/// lifetime, and would then be somebody else's flows.
constexpr std::size_t kNames = 65'536;
/// A server that failed is not asked the same again at once (RFC 9520).
constexpr std::uint32_t kKeepFailure = 1;

/// Answers age while the machine sleeps.
std::uint64_t seconds() {
  const auto awake = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  return static_cast<std::uint64_t>(awake.count() + platform::time_asleep()) / 1000;
}

std::string text_of(const config::DnsFakeIp& kind) {
  return (kind.inet4_range ? kind.inet4_range->text() : "") + " " +
         (kind.inet6_range ? kind.inet6_range->text() : "");
}

}  // namespace

std::uint64_t Store::configure(const config::Dns& dns, const config::CacheFile& file) {
  const std::lock_guard lock(mutex_);
  cache_.clear();
  cache_.set_capacity(dns.disable_cache ? 0 : dns.cache_capacity);
  disable_expire_ = dns.disable_expire;
  reverse_mapping_ = dns.reverse_mapping;
  if (!reverse_mapping_) {
    names_.clear();
    by_use_.clear();
  }
  set_fake_pool(dns, file);
  return ++epoch_;
}

void Store::set_fake_pool(const config::Dns& dns, const config::CacheFile& file) {
  const config::DnsFakeIp* wanted = nullptr;
  for (const config::DnsServer& server : dns.servers) {
    if (const auto* fake = std::get_if<config::DnsFakeIp>(&server.kind)) wanted = fake;
  }
  const std::string path = file.enabled && file.store_fakeip ? file.path : "";
  const std::string ranges = wanted == nullptr ? "" : text_of(*wanted);
  if (ranges == pool_ranges_ && path == pool_path_) return;
  const bool same_pool = ranges == pool_ranges_ && pool_;
  pool_ranges_ = ranges;
  pool_path_ = path;
  if (!same_pool) pool_.reset();
  if (wanted == nullptr) return;
  if (!pool_) pool_ = std::make_unique<FakePool>(wanted->inet4_range, wanted->inet6_range);
  // Clients use addresses that they have been told: those stay whatever the file says.
  const auto opened = same_pool ? pool_->keep_in(path) : pool_->open(path);
  if (!opened) {
    log::error("fake addresses will not survive a restart: {}", opened.error().text());
  }
}

void Store::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  flights_.clear();
}

Cache::Hit Store::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return cache_.find(key, seconds(), disable_expire_);
}

void Store::keep(const std::string& key, const AnswerPtr& answer) {
  const std::lock_guard lock(mutex_);
  const bool failed = answer->rcode != kNoError && answer->rcode != kNxDomain;
  cache_.keep(key, answer, seconds(), failed ? kKeepFailure : 0);
}

bool Store::board(const std::string& key, Landed landed) {
  const std::lock_guard lock(mutex_);
  const auto [flight, fresh] = flights_.try_emplace(key);
  if (fresh) return false;
  flight->second.push_back(std::move(landed));
  return true;
}

void Store::land(const std::string& key, const Outcome& outcome) {
  const std::lock_guard lock(mutex_);  // those who wait only post: none comes back here
  if (closed_) return;
  const auto flight = flights_.extract(key);
  if (flight.empty()) return;
  for (const Landed& landed : flight.mapped()) landed(outcome);
}

void Store::remember(const std::vector<IpAddr>& addresses, const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (!reverse_mapping_) return;
  for (const IpAddr& address : addresses) {
    const auto [known, fresh] = names_.try_emplace(address);
    known->second.name = name;
    if (fresh) {
      by_use_.push_front(address);
      known->second.place = by_use_.begin();
    } else {
      by_use_.splice(by_use_.begin(), by_use_, known->second.place);
    }
  }
  while (names_.size() > kNames) {
    names_.erase(by_use_.back());
    by_use_.pop_back();
  }
}

std::optional<IpAddr> Store::fake_address(const std::string& name, Family family) {
  const std::lock_guard lock(mutex_);
  return pool_ ? pool_->address_of(name, family) : std::nullopt;
}

Store::Identity Store::identify(const IpAddr& address) {
  const std::lock_guard lock(mutex_);
  if (pool_ && pool_->contains(address)) return {pool_->name_of(address), true};
  const auto known = names_.find(address);
  return {known == names_.end() ? "" : known->second.name, false};
}

}  // namespace hairpin::dns
