#include "outbound/direct.h"

#include <array>
#include <optional>

#include "outbound/udp_socket.h"

namespace hairpin::outbound {

namespace {

/// One unconnected socket per family, opened when a destination of that family is first used; where
/// the uplink is followed, one more for destinations that are left to routing. A socket that is
/// bound to another uplink than there is now is replaced.
class DirectPath final : public UdpPath {
 public:
  DirectPath(Worker& worker, DialOptions options, UdpSink& sink)
      : worker_(worker), options_(std::move(options)), sink_(sink) {}

  void send(const Target& target, const platform::Burst& burst) override {
    if (!target.has_address()) {
      return sink_.failed(Error{"direct: " + target.text() + " has no address"});
    }
    const Endpoint& to = target.endpoint;
    const platform::Binding binding = options_.binding(worker_, to.address);
    auto& [socket, interface] =
        sockets_[(to.address.is_v4() ? 0U : 1U) + (binding.interface.empty() ? 0U : 2U)];
    if (!socket || interface != binding.interface) {
      auto opened = UdpSocket::open(worker_, to.address.family(), binding,
                                    [this](const platform::Received& datagrams) {
                                      sink_.deliver(datagrams.source, datagrams.burst);
                                    });
      if (!opened) return sink_.failed(opened.error());
      socket = std::move(*opened);
      interface = binding.interface;
    }
    socket->send({}, burst, &to);
  }

 private:
  Worker& worker_;
  DialOptions options_;
  UdpSink& sink_;
  struct Bound {
    std::optional<UdpSocket> socket;
    std::string interface;
  };
  std::array<Bound, 4> sockets_;
};

}  // namespace

Task<Result<Connection>> Direct::connect(Target to) {
  if (to.has_address()) co_return co_await dial(worker_, to.endpoint, options_);
  // Held by a variable: GCC 12 destroys an aggregate that is made within co_await twice.
  const config::Server server{to.name, to.endpoint.port};
  co_return co_await dial(worker_, server, options_);
}

Result<std::unique_ptr<UdpPath>> Direct::open_udp(UdpSink& sink) {
  return std::unique_ptr<UdpPath>(std::make_unique<DirectPath>(worker_, options_, sink));
}

}  // namespace hairpin::outbound
