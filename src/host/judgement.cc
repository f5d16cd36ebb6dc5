#include "host/judgement.h"

#include <algorithm>
#include <iterator>

namespace hairpin::host {

namespace {

using nft::Compare;
using nft::Statement;

const std::string kIncludeSet = "route_address_set";
const std::string kExcludeSet = "route_exclude_address_set";

bool wants_all(const config::AutoRoute& wanted) {
  return wanted.route_address.empty() && wanted.route_exclude_address.empty();
}

class Judgement {
 public:
  Judgement(const Policy& policy, const Snapshot& host, Place place, Statement leave,
            Statement keep)
      : wanted_(policy.wanted),
        host_(host),
        place_(place),
        leave_(std::move(leave)),
        keep_(std::move(keep)) {}

  std::vector<nft::Rule> make() {
    addresses();
    if (place_ == Place::local) {
      this_host();
      users();
      groups();
    } else {
      interfaces();
      macs();
      rules_.push_back({{keep_}});
    }
    return std::move(rules_);
  }

 private:
  void leave(std::vector<Statement> conditions) {
    conditions.push_back(leave_);
    rules_.push_back({std::move(conditions)});
  }

  /// What matches none of `included` is left out. A condition that cannot be asked of a packet does
  /// not hold, negated or not: see groups().
  template <class T, class Match>
  void leave_others(const std::vector<T>& included, Match match) {
    if (included.empty()) return;
    std::vector<Statement> none;
    for (const T& one : included) none.emplace_back(match(one));
    leave(std::move(none));
  }

  void interfaces() {
    for (const std::string& name : wanted_.exclude_interface) {
      leave({nft::MatchInputInterface{name}});
    }
    leave_others(wanted_.include_interface, [](const std::string& name) {
      return nft::MatchInputInterface{name, Compare::not_equal};
    });
  }

  void macs() {
    for (const auto& mac : wanted_.exclude_mac) leave({nft::MatchEtherSource{mac}});
    leave_others(wanted_.include_mac, [](const config::MacAddress& mac) {
      return nft::MatchEtherSource{mac, Compare::not_equal};
    });
  }

  void this_host() {
    const auto lists = [](const std::vector<std::string>& names) {
      return std::ranges::find(names, kThisHost) != names.end();
    };
    const bool unnamed = !wanted_.include_interface.empty() && !lists(wanted_.include_interface);
    if (lists(wanted_.exclude_interface) || unnamed) leave({});
  }

  void users() {
    for (const UidRange& range : wanted_.exclude_uid) leave({nft::MatchUser{range}});
    leave_others(wanted_.include_uid,
                 [](const UidRange& range) { return nft::MatchUser{range, Compare::not_equal}; });
  }

  nft::MatchControlGroup group(const std::string& path) const {
    const auto found = host_.groups.find(path);
    return {path, found == host_.groups.end() ? 0 : found->second, Compare::equal};
  }

  /// A process that is less deep in the hierarchy than a group has none there to be compared: what
  /// is included is picked, not what is not left out.
  void groups() {
    for (const std::string& path : wanted_.exclude_cgroup) leave({group(path)});
    for (const std::string& path : wanted_.include_cgroup) {
      rules_.push_back({{group(path), keep_}});
    }
    if (wanted_.include_cgroup.empty()) {
      rules_.push_back({{keep_}});
    } else {
      leave({});
    }
  }

  void addresses() {
    for (const Family family : kFamilies) {
      if (wants_all(wanted_)) break;
      leave({nft::MatchDestinationSet{family, "captured" + suffix(family), Compare::not_equal}});
    }
    for (const Family family : kFamilies) {
      if (!wanted_.route_address_set.empty()) {
        leave({nft::MatchDestinationSet{family, kIncludeSet + suffix(family), Compare::not_equal}});
      }
      if (!wanted_.route_exclude_address_set.empty()) {
        leave({nft::MatchDestinationSet{family, kExcludeSet + suffix(family)}});
      }
    }
  }

  const config::AutoRoute& wanted_;
  const Snapshot& host_;
  Place place_;
  Statement leave_;
  Statement keep_;
  std::vector<nft::Rule> rules_;
};

void append(nft::Table& table, std::vector<nft::Set> more) {
  std::ranges::move(more, std::back_inserter(table.sets));
}

}  // namespace

std::string suffix(Family family) {
  return family == Family::v4 ? "4" : "6";
}

std::vector<nft::Set> address_sets(const std::string& name,
                                   const std::vector<Interval>& intervals) {
  std::vector<nft::Set> both;
  for (const Family family : kFamilies) {
    nft::Set set{name + suffix(family), family};
    std::ranges::copy_if(intervals, std::back_inserter(set.elements),
                         [family](const Interval& one) { return one.first.family() == family; });
    both.push_back(std::move(set));
  }
  return both;
}

std::vector<nft::Rule> judge_by_wishes(const Policy& policy, const Snapshot& host, Place place,
                                       const Statement& leave, const Statement& keep) {
  return Judgement(policy, host, place, leave, keep).make();
}

void add_wanted_sets(nft::Table& table, const config::AutoRoute& wanted,
                     const std::vector<Prefix>& prefixes) {
  if (!wants_all(wanted)) append(table, address_sets("captured", intervals_of(prefixes)));
  if (!wanted.route_address_set.empty())
    append(table, address_sets(kIncludeSet, wanted.set_address));
  if (!wanted.route_exclude_address_set.empty()) {
    append(table, address_sets(kExcludeSet, wanted.set_exclude_address));
  }
}

}  // namespace hairpin::host
