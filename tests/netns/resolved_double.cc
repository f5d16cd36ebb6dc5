// Plays the part of systemd-resolved on D-Bus (org.freedesktop.resolve1(5)): says a line for each
// call, remembers what it was told, and knows no interface but those below 10.
#include <arpa/inet.h>
#include <systemd/sd-bus.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace {

struct Server {
  int family = 0;
  std::vector<std::uint8_t> bytes;
  std::uint16_t port = 0;
  std::string name;
};
struct Link {
  std::vector<Server> servers;
  std::vector<std::pair<std::string, int>> domains;
  int default_route = 0;
};

std::map<int, Link> links;

std::string text_of(const Server& server) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(server.family, server.bytes.data(), text.data(), text.size());
  return text.data();
}

/// The call's interface; nothing when it is not known, and the caller is told.
Link* link_of(sd_bus_message* message, int& number, sd_bus_error* error) {
  if (sd_bus_message_read(message, "i", &number) < 0) std::abort();
  if (number < 10) return &links[number];
  sd_bus_error_setf(error, "org.freedesktop.resolve1.NoSuchLink", "Link %d not known", number);
  return nullptr;
}

Server read_server(sd_bus_message* message, bool extended) {
  Server server;
  const void* bytes = nullptr;
  std::size_t size = 0;
  const char* name = "";
  if (sd_bus_message_enter_container(message, 'r', extended ? "iayqs" : "iay") < 0 ||
      sd_bus_message_read(message, "i", &server.family) < 0 ||
      sd_bus_message_read_array(message, 'y', &bytes, &size) < 0 ||
      (extended && sd_bus_message_read(message, "qs", &server.port, &name) < 0) ||
      sd_bus_message_exit_container(message) < 0) {
    std::abort();
  }
  const auto* first = static_cast<const std::uint8_t*>(bytes);
  server.bytes.assign(first, first + size);
  server.name = name;
  return server;
}

int set_servers(sd_bus_message* message, sd_bus_error* error, bool extended) {
  int number = 0;
  Link* link = link_of(message, number, error);
  if (link == nullptr) return -EIO;  // the error says more
  link->servers.clear();
  std::printf("%s %d", extended ? "SetLinkDNSEx" : "SetLinkDNS", number);
  sd_bus_message_enter_container(message, 'a', extended ? "(iayqs)" : "(iay)");
  while (sd_bus_message_at_end(message, 0) == 0) {
    const Server server = read_server(message, extended);
    std::printf(" %s", text_of(server).c_str());
    if (extended) std::printf("#%u#%s", server.port, server.name.c_str());
    link->servers.push_back(server);
  }
  std::puts("");
  return sd_bus_reply_method_return(message, "");
}

int set_dns(sd_bus_message* message, void*, sd_bus_error* error) {
  return set_servers(message, error, false);
}

int set_dns_ex(sd_bus_message* message, void*, sd_bus_error* error) {
  return set_servers(message, error, true);
}

int set_domains(sd_bus_message* message, void*, sd_bus_error* error) {
  int number = 0;
  Link* link = link_of(message, number, error);
  if (link == nullptr) return -EIO;  // the error says more
  link->domains.clear();
  std::printf("SetLinkDomains %d", number);
  sd_bus_message_enter_container(message, 'a', "(sb)");
  const char* name = nullptr;
  int routing_only = 0;
  while (sd_bus_message_read(message, "(sb)", &name, &routing_only) > 0) {
    std::printf(" %s%s", routing_only != 0 ? "~" : "", name);
    link->domains.emplace_back(name, routing_only);
  }
  std::puts("");
  return sd_bus_reply_method_return(message, "");
}

int set_default_route(sd_bus_message* message, void*, sd_bus_error* error) {
  int number = 0;
  Link* link = link_of(message, number, error);
  if (link == nullptr) return -EIO;  // the error says more
  sd_bus_message_read(message, "b", &link->default_route);
  std::printf("SetLinkDefaultRoute %d %s\n", number, link->default_route != 0 ? "yes" : "no");
  return sd_bus_reply_method_return(message, "");
}

int revert(sd_bus_message* message, void*, sd_bus_error* error) {
  int number = 0;
  Link* link = link_of(message, number, error);
  if (link == nullptr) return -EIO;  // the error says more
  *link = {};
  std::printf("RevertLink %d\n", number);
  return sd_bus_reply_method_return(message, "");
}

int get_link(sd_bus_message* message, void*, sd_bus_error* error) {
  int number = 0;
  if (link_of(message, number, error) == nullptr) return -EIO;  // the error says more
  const std::string path = "/org/freedesktop/resolve1/link/_3" + std::to_string(number);
  return sd_bus_reply_method_return(message, "o", path.c_str());
}

Link& link_at(const char* path) {
  return links[path[std::string(path).size() - 1] - '0'];
}

int get_dns_ex(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply, void*,
               sd_bus_error*) {
  sd_bus_message_open_container(reply, 'a', "(iayqs)");
  for (const Server& server : link_at(path).servers) {
    sd_bus_message_open_container(reply, 'r', "iayqs");
    sd_bus_message_append(reply, "i", server.family);
    sd_bus_message_append_array(reply, 'y', server.bytes.data(), server.bytes.size());
    sd_bus_message_append(reply, "qs", server.port, server.name.c_str());
    sd_bus_message_close_container(reply);
  }
  return sd_bus_message_close_container(reply);
}

int get_domains(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply, void*,
                sd_bus_error*) {
  sd_bus_message_open_container(reply, 'a', "(sb)");
  for (const auto& [name, routing_only] : link_at(path).domains) {
    sd_bus_message_append(reply, "(sb)", name.c_str(), routing_only);
  }
  return sd_bus_message_close_container(reply);
}

int get_default_route(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
                      void*, sd_bus_error*) {
  return sd_bus_message_append(reply, "b", link_at(path).default_route);
}

const sd_bus_vtable kManager[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("SetLinkDNS", "ia(iay)", "", set_dns, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("SetLinkDNSEx", "ia(iayqs)", "", set_dns_ex, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("SetLinkDomains", "ia(sb)", "", set_domains, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("SetLinkDefaultRoute", "ib", "", set_default_route, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("RevertLink", "i", "", revert, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("GetLink", "i", "o", get_link, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
const sd_bus_vtable kLink[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("DNSEx", "a(iayqs)", get_dns_ex, 0, 0),
    SD_BUS_PROPERTY("Domains", "a(sb)", get_domains, 0, 0),
    SD_BUS_PROPERTY("DefaultRoute", "b", get_default_route, 0, 0),
    SD_BUS_VTABLE_END,
};

int find_link(sd_bus*, const char*, const char*, void* data, void** found, sd_bus_error*) {
  *found = data;
  return 1;
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  sd_bus* bus = nullptr;
  if (sd_bus_open_system(&bus) < 0) return 1;
  constexpr const char* kPath = "/org/freedesktop/resolve1";
  if (sd_bus_add_object_vtable(bus, nullptr, kPath, "org.freedesktop.resolve1.Manager", kManager,
                               nullptr) < 0 ||
      sd_bus_add_fallback_vtable(bus, nullptr, "/org/freedesktop/resolve1/link",
                                 "org.freedesktop.resolve1.Link", kLink, find_link, &links) < 0 ||
      sd_bus_request_name(bus, "org.freedesktop.resolve1", 0) < 0) {
    return 1;
  }
  std::puts("ready");
  for (;;) {
    const int done = sd_bus_process(bus, nullptr);
    if (done < 0) return 1;
    if (done == 0) sd_bus_wait(bus, UINT64_MAX);
  }
}
