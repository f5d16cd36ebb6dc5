// One request at a time over an rtnetlink socket (libmnl). Linux only: included by *_linux.cc
// files.
#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::device {

/// Builds one rtnetlink message in its own buffer.
class NetlinkMessage {
 public:
  /// `flags` beside NLM_F_REQUEST.
  NetlinkMessage(std::uint16_t type, std::uint16_t flags);
  NetlinkMessage(const NetlinkMessage&) = delete;
  NetlinkMessage& operator=(const NetlinkMessage&) = delete;

  /// The fixed part that follows the netlink header: ifinfomsg, ifaddrmsg, rtmsg, fib_rule_hdr.
  template <class Header>
  Header& header() {
    return *static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
  }
  void put(std::uint16_t attribute, const IpAddr& address);
  void put_u32(std::uint16_t attribute, std::uint32_t value);
  void put_u8(std::uint16_t attribute, std::uint8_t value);
  void put_text(std::uint16_t attribute, const std::string& value);
  void put_bytes(std::uint16_t attribute, const void* data, std::size_t size);
  nlattr* begin_nest(std::uint16_t attribute);
  void end_nest(nlattr* nest);

  nlmsghdr* raw() { return message_; }

 private:
  alignas(nlmsghdr) std::array<char, 4096> buffer_{};
  nlmsghdr* message_;
};

/// Calls `each` for every attribute that follows the fixed header of `offset` bytes.
void for_each_attribute(const nlmsghdr& message, std::size_t offset,
                        const std::function<void(const nlattr&)>& each);
/// The same for the attributes within one.
void for_each_nested(const nlattr& attribute, const std::function<void(const nlattr&)>& each);

class Netlink {
 public:
  /// Belongs to the network namespace of the calling thread.
  static Result<Netlink> open();

  /// Sends and waits for the kernel's answer. `what` opens the error's text.
  Result<> request(NetlinkMessage& message, const std::string& what);
  /// The same, and hands the one message of the answer to `each`.
  Result<> get(NetlinkMessage& message, const std::string& what,
               const std::function<void(const nlmsghdr&)>& each);
  /// Sends and hands each message of the answer to `each`.
  Result<> dump(NetlinkMessage& message, const std::string& what,
                const std::function<void(const nlmsghdr&)>& each);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  explicit Netlink(mnl_socket* socket) : socket_(socket) {}
  Result<> exchange(NetlinkMessage& message, const std::string& what, mnl_cb_t callback,
                    void* data);

  std::unique_ptr<mnl_socket, Close> socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace hairpin::device
