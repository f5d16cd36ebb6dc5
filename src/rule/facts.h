// What is known of a flow, or of a question for a name, when rules are asked about it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/address.h"
#include "rule/rule.h"

namespace hairpin::rule {

inline constexpr std::uint32_t kNoUser = 0xffffffff;

/// The local process that a flow belongs to.
struct Process {
  std::string path;  ///< Of its executable.
  std::uint32_t user_id = 0;
  std::string user;  ///< Empty: it has no name.
};

/// Views of what belongs to the caller. What is not known is empty, and no condition on it holds.
struct Facts {
  Network network = Network::tcp;
  Endpoint source;
  Endpoint destination;
  std::string_view inbound;           ///< Tag.
  std::string_view domain;            ///< Lower case, without a dot at its end.
  std::span<const IpAddr> addresses;  ///< Of the domain, where it has been resolved.
  std::string_view protocol;
  const Process* process = nullptr;
  std::optional<MacAddress> source_mac;
  std::optional<std::uint16_t> query_type;
  std::optional<Family>
      ip_version;           ///< Empty: that of the address of `destination`, if it has one.
  bool has_address = true;  ///< Whether `destination` has one; its port 0 is none.
  /// Conditions on destination addresses are left out: they are about an answer that is yet to
  /// come.
  bool before_answer = false;
};

}  // namespace hairpin::rule
