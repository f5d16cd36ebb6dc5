#include "stack/handover.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

namespace hairpin::stack {

namespace {

using Json = nlohmann::json;

/// SCM_MAX_FD of the kernel. A link on 32 CPUs needs 2·32 queues, 2·(32+32) listeners, one table.
constexpr std::size_t kMaxDescriptors = 253;
constexpr std::size_t kMaxText = 64 * 1024;  // bytes

/// Descriptors in the order in which they are sent.
class Bundle {
 public:
  std::size_t put(const Fd& fd) {
    numbers.push_back(fd.get());
    return 1;
  }
  std::size_t put(const std::vector<Fd>& many) {
    for (const Fd& fd : many) put(fd);
    return many.size();
  }
  std::vector<int> numbers;
};

Json tun_json(const platform::Tun& tun, Bundle& bundle) {
  return {{"name", tun.name},
          {"queues", bundle.put(tun.queues)},
          {"vnet_header", tun.vnet_header},
          {"segments_tcp", tun.segments_tcp},
          {"segments_udp", tun.segments_udp}};
}

/// Takes `count` descriptors from the front of what was received.
class Unbundle {
 public:
  explicit Unbundle(std::vector<Fd> received) : received_(std::move(received)) {}
  std::vector<Fd> take(std::size_t count) {
    std::vector<Fd> taken;
    for (; count > 0 && next_ < received_.size(); --count) {
      taken.push_back(std::move(received_[next_++]));
    }
    return taken;
  }

 private:
  std::vector<Fd> received_;
  std::size_t next_ = 0;
};

platform::Tun tun_from(const Json& json, Unbundle& bundle) {
  platform::Tun tun;
  tun.name = json["name"];
  tun.queues = bundle.take(json["queues"]);
  tun.vnet_header = json["vnet_header"];
  tun.segments_tcp = json["segments_tcp"];
  tun.segments_udp = json["segments_udp"];
  return tun;
}

Result<> send_message(int socket, const std::string& text, const std::vector<int>& descriptors) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  std::vector<std::byte> control(CMSG_SPACE(sizeof(int) * descriptors.size()));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof(int) * descriptors.size());
  }
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) return last_error("hand over the interface");
  return {};
}

}  // namespace

Result<> send_link(int socket, const Result<SystemTun>& link) {
  if (!link) {
    const Json json{{"error", link.error().what}, {"code", link.error().code}};
    return send_message(socket, json.dump(-1, ' ', false, Json::error_handler_t::replace), {});
  }
  Bundle bundle;
  Json json{{"outer", tun_json(link->outer, bundle)}, {"inner", tun_json(link->inner, bundle)}};
  for (const FamilyListeners& family : link->listeners) {
    json["listeners"].push_back({{"v6", family.family == Family::v6},
                                 {"tcp", bundle.put(family.tcp)},
                                 {"udp", bundle.put(family.udp)}});
  }
  for (const IpAddr& address : link->addresses) json["addresses"].push_back(address.text());
  bundle.put(link->nft_owner);
  if (bundle.numbers.size() > kMaxDescriptors) {
    return Error{"too many queues to hand over: run on fewer CPUs (taskset)", E2BIG};
  }
  return send_message(socket, json.dump(), bundle.numbers);
}

Result<SystemTun> receive_link(int socket) {
  std::string text(kMaxText, '\0');
  iovec part{text.data(), text.size()};
  std::vector<std::byte> control(CMSG_SPACE(sizeof(int) * kMaxDescriptors));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (size < 0) return last_error("receive the interface");
  if (size == 0) return Error{"the process that sets up the namespace died"};
  std::vector<Fd> descriptors;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
  const Json json = Json::parse(text.substr(0, static_cast<std::size_t>(size)));
  if (json.contains("error")) return Error{json["error"], json["code"]};
  Unbundle bundle(std::move(descriptors));
  SystemTun link;
  link.outer = tun_from(json["outer"], bundle);
  link.inner = tun_from(json["inner"], bundle);
  for (const Json& family : json["listeners"]) {
    FamilyListeners listeners;
    listeners.family = family["v6"].get<bool>() ? Family::v6 : Family::v4;
    listeners.tcp = bundle.take(family["tcp"]);
    listeners.udp = bundle.take(family["udp"]);
    link.listeners.push_back(std::move(listeners));
  }
  for (const Json& address : json["addresses"]) {
    if (const auto parsed = IpAddr::parse(address.get<std::string>())) {
      link.addresses.push_back(*parsed);
    }
  }
  auto owner = bundle.take(1);
  if (owner.empty()) return Error{"the interface arrived without its descriptors"};
  link.nft_owner = std::move(owner.front());
  return link;
}

}  // namespace hairpin::stack
