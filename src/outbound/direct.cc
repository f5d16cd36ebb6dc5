#include "outbound/direct.h"

#include <array>
#include <optional>

#include "outbound/udp_socket.h"

namespace hairpin::outbound {

namespace {

/// One unconnected socket per family, opened when a destination of that family is first used.
class DirectPath final : public UdpPath {
 public:
  DirectPath(Worker& worker, DialOptions options, UdpSink& sink)
      : worker_(worker), options_(std::move(options)), sink_(sink) {}

  void send(const Endpoint& to, const platform::Burst& burst) override {
    auto& socket = sockets_[to.address.is_v4() ? 0 : 1];
    if (!socket) {
      auto opened =
          UdpSocket::open(worker_, to.address.family(), options_.binding(worker_, to.address),
                          [this](const platform::Received& datagrams) {
                            sink_.deliver(datagrams.source, datagrams.burst);
                          });
      if (!opened) return sink_.failed(opened.error());
      socket = std::move(*opened);
    }
    socket->send({}, burst, &to);
  }

 private:
  Worker& worker_;
  DialOptions options_;
  UdpSink& sink_;
  std::array<std::optional<UdpSocket>, 2> sockets_;
};

}  // namespace

Task<Result<Connection>> Direct::connect(const Endpoint& to) {
  return dial(worker_, to, options_);
}

Result<std::unique_ptr<UdpPath>> Direct::open_udp(UdpSink& sink) {
  return std::unique_ptr<UdpPath>(std::make_unique<DirectPath>(worker_, options_, sink));
}

}  // namespace hairpin::outbound
