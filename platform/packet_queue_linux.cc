#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "platform/netlink.h"
#include "platform/packet_queue.h"

namespace hairpin::platform {

namespace {

/// Packets that may wait for their verdicts. More than may be unread (kRoom) and those that wait
/// for a connection: so what is too much is dropped where its number shows it.
constexpr std::uint32_t kLength = 32768;
constexpr int kRoom = 8 * 1024 * 1024;  ///< Bytes, of the socket: a burst of some thousand packets.

constexpr std::uint16_t message_type(std::uint16_t type) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_QUEUE << 8U | type);
}

nlmsghdr* put_header(void* to, std::uint16_t type, std::uint16_t flags, std::uint16_t queue) {
  nlmsghdr* message = mnl_nlmsg_put_header(to);
  message->nlmsg_type = message_type(type);
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = AF_UNSPEC;
  header->version = NFNETLINK_V0;
  header->res_id = htons(queue);
  return message;
}

/// Sends a request, and waits for the kernel's answer.
Result<> configure(int socket, nlmsghdr* message, const std::string& what) {
  message->nlmsg_flags |= NLM_F_ACK;
  if (::send(socket, message, message->nlmsg_len, 0) < 0) return last_error(what);
  alignas(nlmsghdr) std::array<char, 4096> answer{};
  const ssize_t size = ::recv(socket, answer.data(), answer.size(), 0);
  if (size < 0) return last_error(what);
  if (mnl_cb_run(answer.data(), static_cast<std::size_t>(size), 0, 0, nullptr, nullptr) < 0) {
    return last_error(what);
  }
  return {};
}

Result<> bind_queue(int socket, std::uint16_t number, const std::string& what) {
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* message = put_header(buffer.data(), NFQNL_MSG_CONFIG, 0, number);
  const nfqnl_msg_config_cmd command{NFQNL_CFG_CMD_BIND, 0, 0};
  mnl_attr_put(message, NFQA_CFG_CMD, sizeof command, &command);
  auto bound = configure(socket, message, what);
  // The kernel says EPERM of a queue that is another socket's, and of too few rights; but those
  // have made interfaces before. A subsystem that it does not have is EINVAL.
  if (!bound && bound.error().code == EPERM) return Error{what, EBUSY};
  if (!bound && bound.error().code == EINVAL) return Error{what, EOPNOTSUPP};
  return bound;
}

Result<> set_parameters(int socket, std::uint16_t number, const std::string& what) {
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* message = put_header(buffer.data(), NFQNL_MSG_CONFIG, 0, number);
  const nfqnl_msg_config_params copy{htonl(kQueuedBytes), NFQNL_COPY_PACKET};
  mnl_attr_put(message, NFQA_CFG_PARAMS, sizeof copy, &copy);
  mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(kLength));
  // Sums and segments may be as they are: packets go on as they came.
  mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
  mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
  return configure(socket, message, what);
}

}  // namespace

Result<Fd> open_packet_queue(std::uint16_t number) {
  const std::string what = "packet queue (NFQUEUE) " + std::to_string(number);
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd) return last_error("socket(NETLINK_NETFILTER)");
  const sockaddr_nl any{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0) {
    return last_error("bind nfnetlink socket");
  }
  const sockaddr_nl kernel = any;
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) != 0) {
    return last_error("connect nfnetlink socket");
  }
  Result<> done = bind_queue(fd.get(), number, what);
  if (done) done = set_parameters(fd.get(), number, what);
  if (!done) return done.error();
  // What did not fit is seen by the numbers of packets.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kRoom, sizeof kRoom) != 0) {
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kRoom, sizeof kRoom);
  }
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return last_error("fcntl(O_NONBLOCK)");
  return fd;
}

QueueReader::QueueReader() : memory_(std::make_unique<std::byte[]>(kMessages * kMessage)) {
  packets_.reserve(kMessages);
  for (std::size_t i = 0; i < kMessages; ++i) {
    parts_[i] = {&memory_[i * kMessage], kMessage};
    headers_[i].msg_hdr.msg_iov = &parts_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
  }
}

std::span<const QueuedPacket> QueueReader::receive(int socket) {
  packets_.clear();
  const int count = ::recvmmsg(socket, headers_.data(), kMessages, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < count; ++i) {
    const std::size_t slot = static_cast<std::size_t>(i);
    read_message({&memory_[slot * kMessage], headers_[slot].msg_len});
  }
  return packets_;
}

std::uint64_t QueueReader::take_lost() {
  return std::exchange(lost_, 0);
}

void QueueReader::read_message(std::span<std::byte> message) {
  auto length = static_cast<int>(message.size());
  const auto* header = reinterpret_cast<const nlmsghdr*>(message.data());
  if (!mnl_nlmsg_ok(header, length)) return;
  if (header->nlmsg_type == message_type(NFQNL_MSG_PACKET)) return read_packet(message);
  if (header->nlmsg_type != NLMSG_ERROR) return;
  // A packet that did not wait for its verdict.
  if (static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header))->error != 0) ++lost_;
}

void QueueReader::read_packet(std::span<std::byte> message) {
  const auto* header = reinterpret_cast<const nlmsghdr*>(message.data());
  QueuedPacket packet;
  for_each_attribute(*header, sizeof(nfgenmsg), [&packet](const nlattr& attribute) {
    const std::size_t size = mnl_attr_get_payload_len(&attribute);
    auto* payload = static_cast<std::byte*>(mnl_attr_get_payload(&attribute));
    std::uint32_t number = 0;
    std::memcpy(&number, payload, std::min(size, sizeof number));
    switch (mnl_attr_get_type(&attribute)) {
      case NFQA_PACKET_HDR:
        packet.id = ntohl(number);  // first in nfqnl_msg_packet_hdr
        break;
      case NFQA_MARK:
        packet.mark = Mark{ntohl(number)};
        break;
      case NFQA_PAYLOAD:
        packet.bytes = {payload, size};
        break;
      default:
        break;
    }
  });
  lost_ += packet.id - last_ - 1;
  last_ = packet.id;
  packets_.push_back(packet);
}

void Verdicts::drop(std::uint32_t id) {
  add(id, NF_DROP, nullptr);
}

void Verdicts::repeat(std::uint32_t id, Mark mark) {
  add(id, NF_REPEAT, &mark);
}

void Verdicts::add(std::uint32_t id, std::uint32_t verdict, const Mark* mark) {
  alignas(nlmsghdr) std::array<std::byte, 64> buffer{};
  nlmsghdr* message = put_header(buffer.data(), NFQNL_MSG_VERDICT, 0, number_);
  const nfqnl_msg_verdict_hdr header{htonl(verdict), htonl(id)};
  mnl_attr_put(message, NFQA_VERDICT_HDR, sizeof header, &header);
  if (mark != nullptr) mnl_attr_put_u32(message, NFQA_MARK, htonl(mark->value()));
  messages_.insert(messages_.end(), buffer.data(), buffer.data() + NLMSG_ALIGN(message->nlmsg_len));
}

Result<> Verdicts::send(int socket) {
  if (messages_.empty()) return {};
  // The kernel has taken note when the call returns, or has had no memory: then the next call tries
  // again.
  constexpr std::size_t kMost = std::size_t{1} << 20;
  const ssize_t sent = ::send(socket, messages_.data(), messages_.size(), 0);
  const auto failed = sent < 0 ? last_error("give verdicts about queued packets") : Error();
  if (sent >= 0 || messages_.size() > kMost) messages_.clear();
  if (sent < 0) return failed;
  return {};
}

}  // namespace hairpin::platform
