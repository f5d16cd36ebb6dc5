#include <linux/netlink.h>

#include <cerrno>

#include "platform/device/netlink.h"

namespace hairpin::device {

NetlinkMessage::NetlinkMessage(std::uint16_t type, std::uint16_t flags)
    : message_(mnl_nlmsg_put_header(buffer_.data())) {
  message_->nlmsg_type = type;
  message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

void NetlinkMessage::put(std::uint16_t attribute, const IpAddr& address) {
  mnl_attr_put(message_, attribute, address.size(), address.bytes().data());
}

void NetlinkMessage::put_u32(std::uint16_t attribute, std::uint32_t value) {
  mnl_attr_put_u32(message_, attribute, value);
}

void NetlinkMessage::put_u8(std::uint16_t attribute, std::uint8_t value) {
  mnl_attr_put_u8(message_, attribute, value);
}

void NetlinkMessage::put_text(std::uint16_t attribute, const std::string& value) {
  mnl_attr_put_strz(message_, attribute, value.c_str());
}

void NetlinkMessage::put_bytes(std::uint16_t attribute, const void* data, std::size_t size) {
  mnl_attr_put(message_, attribute, size, data);
}

nlattr* NetlinkMessage::begin_nest(std::uint16_t attribute) {
  return mnl_attr_nest_start(message_, attribute);
}

void NetlinkMessage::end_nest(nlattr* nest) {
  mnl_attr_nest_end(message_, nest);
}

namespace {

int hand_over_attribute(const nlattr* attribute, void* data) {
  (*static_cast<const std::function<void(const nlattr&)>*>(data))(*attribute);
  return MNL_CB_OK;
}

}  // namespace

void for_each_attribute(const nlmsghdr& message, std::size_t offset,
                        const std::function<void(const nlattr&)>& each) {
  (void)mnl_attr_parse(&message, static_cast<unsigned>(offset), hand_over_attribute,
                       const_cast<std::function<void(const nlattr&)>*>(&each));
}

void for_each_nested(const nlattr& attribute, const std::function<void(const nlattr&)>& each) {
  (void)mnl_attr_parse_nested(&attribute, hand_over_attribute,
                              const_cast<std::function<void(const nlattr&)>*>(&each));
}

Result<Netlink> Netlink::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return last_error("open rtnetlink socket");
  Netlink netlink(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    return last_error("bind rtnetlink socket");
  }
  return netlink;
}

Result<> Netlink::exchange(NetlinkMessage& message, const std::string& what, mnl_cb_t callback,
                           void* data) {
  nlmsghdr* raw = message.raw();
  raw->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), raw, raw->nlmsg_len) < 0) return last_error(what);
  const unsigned port = mnl_socket_get_portid(socket_.get());
  std::array<char, 32768> buffer{};  // the kernel fills up to 32 KiB for a dump
  for (;;) {
    const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (size < 0) return last_error(what);
    const int verdict =
        mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), sequence_, port, callback, data);
    if (verdict < 0) return last_error(what);
    if (verdict == MNL_CB_STOP) return {};
  }
}

Result<> Netlink::request(NetlinkMessage& message, const std::string& what) {
  message.raw()->nlmsg_flags |= NLM_F_ACK;
  return exchange(message, what, nullptr, nullptr);
}

namespace {

int hand_over(const nlmsghdr* header, void* data) {
  (*static_cast<const std::function<void(const nlmsghdr&)>*>(data))(*header);
  return MNL_CB_OK;
}

}  // namespace

Result<> Netlink::get(NetlinkMessage& message, const std::string& what,
                      const std::function<void(const nlmsghdr&)>& each) {
  message.raw()->nlmsg_flags |= NLM_F_ACK;
  return exchange(message, what, hand_over,
                  const_cast<std::function<void(const nlmsghdr&)>*>(&each));
}

Result<> Netlink::dump(NetlinkMessage& message, const std::string& what,
                       const std::function<void(const nlmsghdr&)>& each) {
  message.raw()->nlmsg_flags |= NLM_F_DUMP;
  return exchange(message, what, hand_over,
                  const_cast<std::function<void(const nlmsghdr&)>*>(&each));
}

}  // namespace hairpin::device
