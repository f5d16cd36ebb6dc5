#include "app/requests.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>

namespace hairpin::app {

namespace {

using Json = nlohmann::json;

/// Bytes of a request or an answer: one message of a SOCK_SEQPACKET.
constexpr std::size_t kMaxMessage = 128 * 1024;
constexpr timeval kPatience{5, 0};

struct Name {
  sockaddr_un address{};
  socklen_t size = 0;
};

Name name_of(int process) {
  Name name;
  name.address.sun_family = AF_UNIX;
  const std::string text = "hairpin-" + std::to_string(process);
  std::memcpy(name.address.sun_path + 1, text.data(), text.size());  // behind a 0: abstract
  name.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  return name;
}

Result<> send_message(int socket, const Json& message) {
  // Names come from files and command lines: what is no UTF-8 must not end the program.
  const std::string text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (::send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0) return last_error("send");
  return {};
}

Result<Json> receive_message(int socket) {
  std::string text(kMaxMessage, '\0');
  const ssize_t size = ::recv(socket, text.data(), text.size(), 0);
  if (size < 0) return last_error("receive");
  text.resize(static_cast<std::size_t>(size));
  Json message = Json::parse(text, nullptr, false);
  if (!message.is_object()) return Error{"no JSON object was received"};
  return Result<Json>(boost::system::in_place_value, std::move(message));
}

}  // namespace

Result<Fd> open_requests(int process) {
  Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener) return last_error("socket");
  const Name name = name_of(process);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&name.address), name.size) != 0) {
    return last_error("bind to hairpin-" + std::to_string(process));
  }
  if (::listen(listener.get(), 8) != 0) return last_error("listen");
  return listener;
}

Result<Fd> accept_request(int listener) {
  Fd connection(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!connection) return last_error("accept");
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return last_error("SO_PEERCRED");
  }
  if (peer.uid == 0 || peer.uid == ::geteuid()) return connection;
  (void)send_message(connection.get(), {{"error", "only root may ask"}});
  return Error{"user " + std::to_string(peer.uid) + " may not ask", EACCES};
}

void answer_request(int connection, const Answer& answer) {
  const auto request = receive_message(connection);
  const Json reply = request ? answer(*request) : Json{{"error", request.error().text()}};
  (void)send_message(connection, reply);
}

Result<Json> ask(int process, const Json& request) {
  const std::string whom = "ask process " + std::to_string(process);
  const Fd connection(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!connection) return last_error("socket");
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    (void)::setsockopt(connection.get(), SOL_SOCKET, option, &kPatience, sizeof kPatience);
  }
  const Name name = name_of(process);
  const auto* address = reinterpret_cast<const sockaddr*>(&name.address);
  if (::connect(connection.get(), address, name.size) != 0) return last_error(whom);
  if (auto sent = send_message(connection.get(), request); !sent) {
    return std::move(sent.error()).in(whom);
  }
  auto reply = receive_message(connection.get());
  if (!reply) return std::move(reply.error()).in(whom);
  if (reply->contains("error")) return Error{reply->value("error", "")};
  return reply;
}

}  // namespace hairpin::app
