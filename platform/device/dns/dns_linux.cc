#include "platform/device/dns/dns.h"

#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include <memory>

namespace hairpin::device {

namespace {

constexpr const char* kService = "org.freedesktop.resolve1";
constexpr const char* kManager = "/org/freedesktop/resolve1";
constexpr const char* kManagerInterface = "org.freedesktop.resolve1.Manager";
constexpr const char* kLinkInterface = "org.freedesktop.resolve1.Link";

struct Unref {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, Unref>;
using Message = std::unique_ptr<sd_bus_message, Unref>;

/// What the other side has said, freed in the end.
class BusError {
 public:
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&error_); }

  sd_bus_error* out() { return &error_; }
  Error error(const std::string& what, int result) const {
    // An error of theirs, which sd-bus takes for any error.
    if (sd_bus_error_has_name(&error_, "org.freedesktop.resolve1.NoSuchLink") != 0) {
      result = -ENODEV;
    }
    std::string text = "systemd-resolved: " + what;
    if (error_.message != nullptr) text += std::string(": ") + error_.message;
    if (-result == EHOSTUNREACH) text += " (does it run? systemctl start systemd-resolved)";
    return Error{text, -result};
  }

 private:
  sd_bus_error error_{};
};

Error bus_error(const std::string& what, int result) {
  return Error{what + ": D-Bus", -result};
}

Result<Bus> open_bus() {
  sd_bus* bus = nullptr;
  const int result = sd_bus_open_system(&bus);
  if (result < 0) return bus_error("connect to the system bus", result);
  return Bus(bus);
}

Result<Message> begin_call(const Bus& bus, const char* method, IfIndex interface) {
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(bus.get(), &made, kService, kManager,
                                              kManagerInterface, method);
  Message message(made);
  if (result >= 0) result = sd_bus_message_append(message.get(), "i", interface.value());
  if (result < 0) return bus_error(method, result);
  return message;
}

Result<> finish_call(const Bus& bus, const Message& message, const char* method) {
  BusError error;
  const int result = sd_bus_call(bus.get(), message.get(), 0, error.out(), nullptr);
  if (result < 0) return error.error(method, result);
  return {};
}

int family_of(const IpAddr& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

/// SetLinkDNS: a(iay). Older ones of systemd know no more.
int append_plain(sd_bus_message* message, const DnsServer& server) {
  int result = sd_bus_message_open_container(message, 'r', "iay");
  if (result >= 0) result = sd_bus_message_append(message, "i", family_of(server.address));
  const auto bytes = server.address.bytes();
  if (result >= 0) result = sd_bus_message_append_array(message, 'y', bytes.data(), bytes.size());
  return result < 0 ? result : sd_bus_message_close_container(message);
}

/// SetLinkDNSEx: a(iayqs), since systemd 246.
int append_extended(sd_bus_message* message, const DnsServer& server) {
  int result = sd_bus_message_open_container(message, 'r', "iayqs");
  if (result >= 0) result = sd_bus_message_append(message, "i", family_of(server.address));
  const auto bytes = server.address.bytes();
  if (result >= 0) result = sd_bus_message_append_array(message, 'y', bytes.data(), bytes.size());
  if (result >= 0) {
    result = sd_bus_message_append(message, "qs", server.port, server.tls_name.c_str());
  }
  return result < 0 ? result : sd_bus_message_close_container(message);
}

Result<> set_servers(const Bus& bus, IfIndex interface, const std::vector<DnsServer>& servers) {
  bool extended = false;
  for (const DnsServer& server : servers) {
    extended = extended || server.port != 0 || !server.tls_name.empty();
  }
  const char* method = extended ? "SetLinkDNSEx" : "SetLinkDNS";
  auto message = begin_call(bus, method, interface);
  if (!message) return message.error();
  int result = sd_bus_message_open_container(message->get(), 'a', extended ? "(iayqs)" : "(iay)");
  for (const DnsServer& server : servers) {
    if (result < 0) break;
    result =
        extended ? append_extended(message->get(), server) : append_plain(message->get(), server);
  }
  if (result >= 0) result = sd_bus_message_close_container(message->get());
  if (result < 0) return bus_error(method, result);
  return finish_call(bus, *message, method);
}

Result<> set_domains(const Bus& bus, IfIndex interface, const std::vector<DnsDomain>& domains) {
  constexpr const char* kMethod = "SetLinkDomains";
  auto message = begin_call(bus, kMethod, interface);
  if (!message) return message.error();
  int result = sd_bus_message_open_container(message->get(), 'a', "(sb)");
  for (const DnsDomain& domain : domains) {
    if (result < 0) break;
    result = sd_bus_message_append(message->get(), "(sb)", domain.name.c_str(),
                                   static_cast<int>(domain.routing_only));
  }
  if (result >= 0) result = sd_bus_message_close_container(message->get());
  if (result < 0) return bus_error(kMethod, result);
  return finish_call(bus, *message, kMethod);
}

Result<> set_default_route(const Bus& bus, IfIndex interface, bool wanted) {
  constexpr const char* kMethod = "SetLinkDefaultRoute";
  auto message = begin_call(bus, kMethod, interface);
  if (!message) return message.error();
  const int result = sd_bus_message_append(message->get(), "b", static_cast<int>(wanted));
  if (result < 0) return bus_error(kMethod, result);
  return finish_call(bus, *message, kMethod);
}

Result<std::string> path_of(const Bus& bus, IfIndex interface) {
  BusError error;
  sd_bus_message* got = nullptr;
  int result = sd_bus_call_method(bus.get(), kService, kManager, kManagerInterface, "GetLink",
                                  error.out(), &got, "i", interface.value());
  const Message answer(got);
  const char* path = nullptr;
  if (result >= 0) result = sd_bus_message_read(answer.get(), "o", &path);
  if (result < 0) return error.error("GetLink", result);
  return {boost::system::in_place_value, path};
}

/// Hands the answer to `read`, which returns a result of sd-bus.
template <class Read>
Result<> get_property(const Bus& bus, const std::string& path, const char* name, const char* type,
                      Read read) {
  BusError error;
  sd_bus_message* got = nullptr;
  int result = sd_bus_get_property(bus.get(), kService, path.c_str(), kLinkInterface, name,
                                   error.out(), &got, type);
  const Message answer(got);
  if (result >= 0) result = read(answer.get());
  if (result < 0) return error.error(name, result);
  return {};
}

int read_server(sd_bus_message* message, DnsServer& server) {
  int family = 0;
  int result = sd_bus_message_read(message, "i", &family);
  const void* bytes = nullptr;
  std::size_t size = 0;
  if (result >= 0) result = sd_bus_message_read_array(message, 'y', &bytes, &size);
  const char* name = "";
  if (result >= 0) result = sd_bus_message_read(message, "qs", &server.port, &name);
  if (result < 0) return result;
  if (size != (family == AF_INET ? 4U : 16U)) return -EBADMSG;
  server.address = IpAddr::from_wire({static_cast<const std::byte*>(bytes), size});
  server.tls_name = name;
  return 0;
}

int read_servers(sd_bus_message* message, std::vector<DnsServer>& servers) {
  int result = sd_bus_message_enter_container(message, 'a', "(iayqs)");
  while (result >= 0) {
    result = sd_bus_message_enter_container(message, 'r', "iayqs");
    if (result <= 0) break;
    result = read_server(message, servers.emplace_back());
    if (result >= 0) result = sd_bus_message_exit_container(message);
  }
  return result;
}

int read_domains(sd_bus_message* message, std::vector<DnsDomain>& domains) {
  int result = sd_bus_message_enter_container(message, 'a', "(sb)");
  while (result >= 0) {
    const char* name = nullptr;
    int routing_only = 0;
    result = sd_bus_message_read(message, "(sb)", &name, &routing_only);
    if (result <= 0) break;
    domains.push_back({name, routing_only != 0});
  }
  return result;
}

}  // namespace

Result<> set_dns(IfIndex interface, const DnsSettings& settings) {
  auto bus = open_bus();
  if (!bus) return bus.error();
  if (auto done = set_servers(*bus, interface, settings.servers); !done) return done;
  if (auto done = set_domains(*bus, interface, settings.domains); !done) return done;
  if (!settings.default_route) return {};
  return set_default_route(*bus, interface, *settings.default_route);
}

Result<> revert_dns(IfIndex interface) {
  auto bus = open_bus();
  if (!bus) return bus.error();
  auto message = begin_call(*bus, "RevertLink", interface);
  if (!message) return message.error();
  return finish_call(*bus, *message, "RevertLink");
}

Result<DnsSettings> dns_settings(IfIndex interface) {
  auto bus = open_bus();
  if (!bus) return bus.error();
  const auto path = path_of(*bus, interface);
  if (!path) return path.error();
  DnsSettings settings;
  auto got = get_property(*bus, *path, "DNSEx", "a(iayqs)", [&](sd_bus_message* message) {
    return read_servers(message, settings.servers);
  });
  if (!got) return got.error();
  got = get_property(*bus, *path, "Domains", "a(sb)", [&](sd_bus_message* message) {
    return read_domains(message, settings.domains);
  });
  if (!got) return got.error();
  int default_route = 0;
  got = get_property(*bus, *path, "DefaultRoute", "b", [&](sd_bus_message* message) {
    return sd_bus_message_read(message, "b", &default_route);
  });
  if (!got) return got.error();
  settings.default_route = default_route != 0;
  return settings;
}

}  // namespace hairpin::device
