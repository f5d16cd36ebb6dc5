// What may be in the way of capturing, on this host and with this configuration. Facts are gathered
// first (the only part that asks the system), and judged then (pure).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "host/leftovers.h"
#include "nft/foreign.h"
#include "platform/interface.h"
#include "platform/routes.h"

namespace hairpin::host {

struct Facts {
  bool network_administration = false;  ///< CAP_NET_ADMIN
  bool system_administration = false;   ///< CAP_SYS_ADMIN
  std::string tun_device;               ///< What is wrong with /dev/net/tun; empty: nothing.
  std::string tables;  ///< Why our nftables tables cannot be loaded; empty: they can.
  std::map<std::string, int> source_check;  ///< rp_filter by interface, with "all".
  bool forwards4 = false;
  bool forwards6 = false;
  std::vector<nft::FilterChain> filters;
  std::vector<IpAddr> resolvers;
  std::vector<platform::FoundRoute> routes;  ///< Of main.
  std::vector<platform::FoundInterface> interfaces;
  std::vector<platform::FoundRoute> taken;  ///< Routes in the tables that are wanted.
  std::vector<platform::ListedRule> rules;
  Leftovers left;
  std::string proxies;  ///< Why a proxy on this host cannot be kept out; empty: it can.
  std::vector<std::string> kept_out;
};

/// Of the network namespace of the calling thread, for `config`. What cannot be found out is as if
/// it were not there. `tables` is the caller's to fill in.
Facts gather(const config::Config& config);
/// Only interfaces and routes: what `refusals` asks for.
Facts gather_network();

struct Finding {
  enum class State : std::uint8_t { good, notice, wrong } state = State::good;
  std::string check;     ///< One or two words.
  std::string evidence;  ///< What was seen, and where.
  std::string cure;      ///< Empty where nothing is wrong.
};

/// One finding or more for each check, in a fixed order.
std::vector<Finding> judge(const config::Config& config, const Facts& facts);

/// What makes `config` impossible on a host with these facts: each a sentence with its cure.
std::vector<std::string> refusals(const config::Config& config, const Facts& facts);

const char* name(Finding::State state);

}  // namespace hairpin::host
