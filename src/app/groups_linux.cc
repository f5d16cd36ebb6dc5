#include "app/groups.h"

#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "app/requests.h"

namespace hairpin::app {

namespace {

using Json = nlohmann::json;
using config::Network;

const char* type_of(const config::Group& group) {
  switch (group.how) {
    case config::Group::How::selector:
      return "selector";
    case config::Group::How::urltest:
      return "urltest";
    case config::Group::How::failover:
      return "failover";
  }
  return "";
}

Json describe(const outbound::GroupState& group) {
  Json members = Json::array();
  const auto health = group.health();
  for (std::size_t i = 0; i < group.size(); ++i) {
    Json member{{"tag", group.member(i)}};
    if (health[i].delay) member["delay"] = health[i].delay->count();
    if (health[i].failed) member["failed"] = true;
    members.push_back(std::move(member));
  }
  return {{"tag", group.tag()},
          {"type", type_of(group.settings())},
          {"tcp", group.member(group.current(Network::tcp))},
          {"udp", group.member(group.current(Network::udp))},
          {"outbounds", std::move(members)}};
}

nlohmann::json wrong(const std::string& text) {
  return {{"error", text}};
}

/// One line for each member: a mark at the one in use, its delay or what is wrong with it.
void print(const nlohmann::json& groups) {
  for (const auto& group : groups) {
    std::printf("%s (%s)\n", group.value("tag", "").c_str(), group.value("type", "").c_str());
    for (const auto& member : group["outbounds"]) {
      const std::string tag = member.value("tag", "");
      const bool tcp = group.value("tcp", "") == tag;
      const bool udp = group.value("udp", "") == tag;
      const char* use = tcp && udp ? "* " : tcp ? "tcp " : udp ? "udp " : "";
      std::string known;
      if (member.contains("delay")) known = std::to_string(member["delay"].get<int>()) + " ms";
      if (member.contains("failed")) known = "failed";
      std::printf("%5s%s%s%s\n", use, tag.c_str(), known.empty() ? "" : "  ", known.c_str());
    }
  }
}

}  // namespace

nlohmann::json answer_about(const outbound::Groups& groups, const nlohmann::json& request) {
  if (request.contains("groups")) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [tag, group] : groups.by_tag) list.push_back(describe(*group));
    return {{"groups", std::move(list)}};
  }
  if (!request.contains("select")) return wrong("what is asked is not known to this version");
  const auto text = [&request](const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const auto group = groups.by_tag.find(text("select"));
  if (group == groups.by_tag.end()) {
    return wrong("no group has the tag \"" + text("select") + "\"");
  }
  if (auto done = group->second->select(text("outbound")); !done) {
    return wrong(done.error().text());
  }
  return {{"selected", text("outbound")}};
}

int select(const Instance& instance, const std::string& group, const std::string& outbound) {
  const auto answer = ask(instance.process, {{"select", group}, {"outbound", outbound}});
  return answer ? kExitOk : fail(answer.error());
}

int show_groups(const Instance& instance, bool json) {
  const auto answer = ask(instance.process, {{"groups", true}});
  if (!answer) return fail(answer.error());
  if (json) {
    std::printf("%s\n", (*answer)["groups"].dump(2).c_str());
  } else {
    print((*answer)["groups"]);
  }
  return kExitOk;
}

}  // namespace hairpin::app
