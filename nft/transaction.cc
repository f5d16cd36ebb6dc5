#include "nft/transaction.h"

#include <fcntl.h>

#include <array>
#include <cerrno>

namespace hairpin::nft {

namespace {

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using SocketPtr = std::unique_ptr<mnl_socket, CloseSocket>;

}  // namespace

Result<Fd> open_socket() {
  const SocketPtr socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return last_error("open nfnetlink socket");
  }
  // Complaints come without a copy of what they are about, which may be megabytes.
  const int on = 1;
  mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, const_cast<int*>(&on), sizeof on);
  // A table's owner is the netlink port, which lives as long as any copy of the descriptor.
  Fd copy(::fcntl(mnl_socket_get_fd(socket.get()), F_DUPFD_CLOEXEC, 3));
  if (!copy) return last_error("dup");
  return copy;
}

void forget_unread(const Fd& socket) {
  std::array<char, 16384> stale{};
  while (::recv(socket.get(), stale.data(), stale.size(), MSG_DONTWAIT) > 0) {
  }
}

Result<> list(const Fd& socket, std::uint16_t type, std::uint8_t family, const std::string& what,
              const std::function<void(const nlmsghdr&)>& each) {
  constexpr int kAttempts = 20;
  const mnl_cb_t keep = [](const nlmsghdr* header, void* data) {
    const auto* bytes = reinterpret_cast<const char*>(header);
    static_cast<std::vector<std::vector<char>>*>(data)->emplace_back(bytes,
                                                                     bytes + header->nlmsg_len);
    return MNL_CB_OK;
  };
  std::array<char, 32768> buffer{};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    forget_unread(socket);
    const nlmsghdr* request = nftnl_nlmsg_build_hdr(buffer.data(), type, family, NLM_F_DUMP, 1);
    if (::send(socket.get(), request, request->nlmsg_len, 0) < 0) return last_error(what);
    std::vector<std::vector<char>> answers;
    int verdict = MNL_CB_OK;
    while (verdict == MNL_CB_OK) {
      const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
      if (size < 0) return last_error(what);
      verdict = mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), 1, 0, keep, &answers);
    }
    if (verdict == MNL_CB_STOP) {
      for (const auto& answer : answers) each(*reinterpret_cast<const nlmsghdr*>(answer.data()));
      return {};
    }
    // What is listed has changed meanwhile: the list may be wrong, and is asked for again.
    if (errno != EINTR) return last_error(what);
  }
  return Error{what, EINTR};
}

Batch::Batch(std::uint8_t family) : family_(family) {
  nftnl_batch_begin(here(), sequence_++);
  end();
}

nlmsghdr* Batch::begin(std::uint16_t type, std::uint16_t flags, std::string about) {
  about_[sequence_] = std::move(about);
  return nftnl_nlmsg_build_hdr(here(), type, family_, flags, sequence_++);
}

void Batch::end() {
  const auto* message = reinterpret_cast<const nlmsghdr*>(scratch_.data());
  bytes_.insert(bytes_.end(), scratch_.data(), scratch_.data() + NLMSG_ALIGN(message->nlmsg_len));
}

Result<> Batch::commit(const Fd& socket) {
  forget_unread(socket);
  nftnl_batch_end(here(), sequence_++);
  end();
  make_room(socket.get());
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket.get(), bytes_.data(), bytes_.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
               sizeof kernel) < 0) {
    return last_error("send nftables transaction");
  }
  // The kernel has done its work when send returns: what it complains about is waiting to be
  // read, and if nothing is, all is done.
  for (;;) {
    std::array<char, 16384> answer{};
    const ssize_t size = ::recv(socket.get(), answer.data(), answer.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return {};
    if (size <= 0) return last_error("nftables");
    auto length = static_cast<int>(size);
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
    for (; mnl_nlmsg_ok(header, length); header = mnl_nlmsg_next(header, &length)) {
      if (header->nlmsg_type != NLMSG_ERROR) continue;
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
      if (error->error == 0) continue;
      const auto about = about_.find(header->nlmsg_seq);
      return Error{about != about_.end() ? about->second : "nftables transaction", -error->error};
    }
  }
}

/// A transaction is one message to the kernel, however large: the socket must hold it.
void Batch::make_room(int socket) const {
  const int room = static_cast<int>(bytes_.size() + scratch_.size());
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
}

}  // namespace hairpin::nft
