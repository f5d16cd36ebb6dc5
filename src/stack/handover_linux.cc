#include "stack/handover.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

namespace hairpin::stack {

namespace {

using Json = nlohmann::json;

/// SCM_MAX_FD of the kernel. A TUN link on 32 CPUs needs 2·(32+1) queues, 2·(32+32) listeners,
/// one table.
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
          {"writer", bundle.put(tun.writer)},
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
    for (; count > 0; --count) taken.push_back(take_one());
    return taken;
  }
  Fd take_one() {
    failed_ = failed_ || next_ >= received_.size();
    return failed_ ? Fd() : std::move(received_[next_++]);
  }
  bool failed() const { return failed_; }

 private:
  std::vector<Fd> received_;
  std::size_t next_ = 0;
  bool failed_ = false;
};

platform::Tun tun_from(const Json& json, Unbundle& bundle) {
  platform::Tun tun;
  tun.name = json["name"];
  tun.queues = bundle.take(json["queues"]);
  tun.writer = bundle.take_one();
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
    message.msg_controllen = static_cast<decltype(message.msg_controllen)>(control.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len =
        static_cast<decltype(header->cmsg_len)>(CMSG_LEN(sizeof(int) * descriptors.size()));
    std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof(int) * descriptors.size());
  }
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) return last_error("hand over the interface");
  return {};
}

}  // namespace

Result<> send_link(int socket, const Result<Link>& link) {
  if (!link) {
    const Json json{{"error", link.error().what}, {"code", link.error().code}};
    return send_message(socket, json.dump(-1, ' ', false, Json::error_handler_t::replace), {});
  }
  Bundle bundle;
  Json json{{"name", link->name}, {"why", link->why}};
  if (link->seats) json["seats"] = link->seats->seats.size();
  if (const auto* veth = std::get_if<VethParts>(&link->parts)) {
    json["veth"] = {
        {"sockets", bundle.put(veth->packet_sockets)},
        {"syn_sockets", bundle.put(veth->syn_sockets)},
        {"release", veth->release ? bundle.put(veth->release) : 0},
        {"guard", bundle.put(veth->guard)},
        {"nft", bundle.put(veth->private_nft)},
        {"statistics", bundle.put(veth->statistics.ip4())},
        {"statistics6", veth->statistics.ip6() ? bundle.put(veth->statistics.ip6()) : 0},
        {"address", veth->address},
        {"mtu", veth->mtu}};
  } else if (const auto* user = std::get_if<UserParts>(&link->parts)) {
    json["user"] = {
        {"tun", tun_json(user->tun, bundle)}, {"mtu", user->mtu}, {"length", user->length}};
  } else {
    const auto& tun = std::get<TunParts>(link->parts);
    json["outer"] = tun_json(tun.outer, bundle);
    json["inner"] = tun_json(tun.inner, bundle);
    bundle.put(link->nft_owner);
  }
  for (const FamilyListeners& family : link->listeners) {
    json["listeners"].push_back({{"v6", family.family == Family::v6},
                                 {"tcp", bundle.put(family.tcp)},
                                 {"udp", bundle.put(family.udp)}});
  }
  for (const IpAddr& address : link->addresses) json["addresses"].push_back(address.text());
  if (bundle.numbers.size() > kMaxDescriptors) {
    return send_link(socket,
                     Error{"too many queues to hand over: run on fewer CPUs (taskset)", E2BIG});
  }
  return send_message(socket, json.dump(), bundle.numbers);
}

Result<Link> receive_link(int socket) {
  std::string text(kMaxText, '\0');
  iovec part{text.data(), text.size()};
  std::vector<std::byte> control(CMSG_SPACE(sizeof(int) * kMaxDescriptors));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = static_cast<decltype(message.msg_controllen)>(control.size());
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
  Link link;
  link.name = json["name"];
  link.why = json["why"];
  if (json.contains("veth")) {
    const Json& veth = json["veth"];
    auto& parts = link.parts.emplace<VethParts>();
    parts.packet_sockets = bundle.take(veth["sockets"]);
    parts.syn_sockets = bundle.take(veth["syn_sockets"]);
    parts.release = veth["release"] == 0 ? Fd() : bundle.take_one();
    parts.guard = bundle.take_one();
    parts.private_nft = bundle.take_one();
    Fd ip4 = bundle.take_one();
    parts.statistics = {std::move(ip4), veth["statistics6"] == 0 ? Fd() : bundle.take_one()};
    parts.address = veth["address"];
    parts.mtu = veth["mtu"];
  } else if (json.contains("user")) {
    const Json& user = json["user"];
    link.parts = UserParts{tun_from(user["tun"], bundle), user["mtu"], user["length"], 0};
  } else {
    auto& parts = link.parts.emplace<TunParts>();
    parts.outer = tun_from(json["outer"], bundle);
    parts.inner = tun_from(json["inner"], bundle);
    link.nft_owner = bundle.take_one();
  }
  if (json.contains("seats"))
    link.seats = std::make_shared<Seats>(json["seats"].get<std::size_t>());
  for (const Json& family : json.value("listeners", Json::array())) {
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
  if (bundle.failed()) return Error{"the interface arrived without its descriptors"};
  return link;
}

}  // namespace hairpin::stack
