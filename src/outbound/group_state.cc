#include "outbound/group_state.h"

#include <algorithm>

#include "base/log.h"

namespace hairpin::outbound {

std::optional<std::size_t> choose_first(std::span<const Health> members,
                                        const std::vector<bool>& usable) {
  std::optional<std::size_t> last_resort;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!usable[i]) continue;
    if (!members[i].failed) return i;
    if (!last_resort) last_resort = i;
  }
  return last_resort;
}

std::optional<std::size_t> choose_fastest(std::span<const Health> members,
                                          const std::vector<bool>& usable, std::size_t current,
                                          Delay tolerance) {
  const auto delay_of = [&](std::size_t i) {
    return usable[i] && !members[i].failed ? members[i].delay : std::nullopt;
  };
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (delay_of(i) && (!best || *delay_of(i) < *delay_of(*best))) best = i;
  }
  const bool may_stay = current < members.size() && usable[current];
  if (!best) {
    const auto first = choose_first(members, usable);
    // Where all have failed it may be the URL's fault, or the network's.
    const bool no_better = first && (members[*first].failed || !members[current].failed);
    return may_stay && no_better ? current : first;
  }
  if (may_stay && delay_of(current) && *delay_of(current) <= *delay_of(*best) + tolerance) {
    return current;
  }
  return best;
}

GroupState::GroupState(std::string tag, config::Group settings, const GroupState* before)
    : tag_(std::move(tag)),
      settings_(std::move(settings)),
      members_(settings_.outbounds.size()),
      last_used_(Clock::now().time_since_epoch().count()) {
  const auto index_of = [this](const std::string& member) {
    return static_cast<std::size_t>(std::ranges::find(settings_.outbounds, member) -
                                    settings_.outbounds.begin());
  };
  if (!settings_.default_outbound.empty()) {
    for (auto& current : current_) current = index_of(settings_.default_outbound);
  }
  if (before == nullptr) return;
  // Another default counts for a selector that nobody has touched.
  const bool stays = settings_.how != config::Group::How::selector || before->chosen_;
  for (std::size_t i = 0; i < before->members_.size(); ++i) {
    const std::size_t now = index_of(before->member(i));
    if (now == members_.size()) continue;
    members_[now].delay = before->members_[i].delay.load();
    members_[now].failed = before->members_[i].failed.load();
    members_[now].retry_at = before->members_[i].retry_at.load();
    for (std::size_t n = 0; n < current_.size(); ++n) {
      if (!stays || before->current_[n] != i) continue;
      current_[n] = now;
      chosen_ = before->chosen_.load();
    }
  }
  const std::lock_guard lock(before->mutex_);
  listeners_ = before->listeners_;
}

bool GroupState::use(config::Network network, std::size_t member) {
  auto& cell = current_[network == config::Network::udp ? 1 : 0];
  if (cell.exchange(member) == member) return false;
  log::info("group {}: {} is used for {} from now on", tag_, this->member(member),
            config::name(network));
  tell(this->member(member));
  return true;
}

Result<> GroupState::select(const std::string& member) {
  if (settings_.how != config::Group::How::selector) {
    return Error{"\"" + tag_ + "\" chooses by itself: only a selector is told"};
  }
  const auto found = std::ranges::find(settings_.outbounds, member);
  if (found == settings_.outbounds.end()) {
    std::string names;
    for (const std::string& name : settings_.outbounds) names += " " + name;
    return Error{"\"" + tag_ + "\" has no outbound \"" + member + "\"; it has" + names};
  }
  const auto index = static_cast<std::size_t>(found - settings_.outbounds.begin());
  chosen_ = true;
  bool changed = false;
  for (auto& current : current_) changed = current.exchange(index) != index || changed;
  if (changed) {
    log::info("group {}: {} is used from now on", tag_, member);
    tell(member);
  }
  return {};
}

std::vector<Health> GroupState::health() const {
  std::vector<Health> all;
  for (const Member& member : members_) {
    Health& health = all.emplace_back();
    health.failed = member.failed;
    if (const auto delay = member.delay.load(); delay != kUnknown) health.delay = Delay(delay);
  }
  return all;
}

void GroupState::measured(std::size_t member, Delay delay) {
  members_[member].delay = std::max<std::int64_t>(delay.count(), 1);
  members_[member].failed = false;
}

void GroupState::failed(std::size_t member) {
  members_[member].delay = kUnknown;
  members_[member].retry_at = (Clock::now() + settings_.retry_after).time_since_epoch().count();
  if (!members_[member].failed.exchange(true)) {
    log::warn("group {}: {} has failed", tag_, this->member(member));
  }
}

void GroupState::works(std::size_t member) {
  if (members_[member].failed.load() && members_[member].failed.exchange(false)) {
    log::info("group {}: {} works again", tag_, this->member(member));
  }
}

bool GroupState::claim_retry(std::size_t member) {
  const auto now = Clock::now();
  auto due = members_[member].retry_at.load();
  if (!members_[member].failed || due > now.time_since_epoch().count()) return false;
  return members_[member].retry_at.compare_exchange_strong(
      due, (now + settings_.retry_after).time_since_epoch().count());
}

bool GroupState::claim_measuring(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  if (wake_) return false;
  wake_ = std::move(wake);
  return true;
}

void GroupState::touch() {
  last_used_ = Clock::now().time_since_epoch().count();
  if (!resting_.load() || !resting_.exchange(false)) return;
  const std::lock_guard lock(mutex_);
  if (wake_) wake_();
}

bool GroupState::rest_if_idle() {
  const Clock::duration idle = Clock::now().time_since_epoch() - Clock::duration(last_used_.load());
  if (idle < settings_.idle_timeout) return false;
  resting_ = true;
  return true;
}

void GroupState::on_change(std::function<bool(const std::string&)> told) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(std::move(told));
}

void GroupState::tell(const std::string& member) {
  const std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [&member](const auto& told) { return !told(member); });
}

std::shared_ptr<const Groups> make_groups(const config::Config& config,
                                          const config::Config* config_before,
                                          const std::shared_ptr<const Groups>& before) {
  const auto same = [&] {
    const config::Route& was = config_before->route;
    const config::Route& is = config.route;
    return config.outbounds == config_before->outbounds && was.default_mark == is.default_mark &&
           was.default_interface == is.default_interface &&
           was.auto_detect_interface == is.auto_detect_interface;
  };
  if (before && config_before != nullptr && same()) return before;
  auto groups = std::make_shared<Groups>();
  for (const config::Outbound& outbound : config.outbounds) {
    const auto* settings = std::get_if<config::Group>(&outbound.kind);
    if (settings == nullptr) continue;
    const GroupState* known = nullptr;
    if (before) {
      const auto found = before->by_tag.find(outbound.tag);
      const bool alike =
          found != before->by_tag.end() && found->second->settings().how == settings->how;
      if (alike) known = found->second.get();
    }
    groups->by_tag[outbound.tag] = std::make_shared<GroupState>(outbound.tag, *settings, known);
  }
  if (before) {
    for (const auto& [tag, state] : before->by_tag) state->retire();
  }
  return groups;
}

}  // namespace hairpin::outbound
