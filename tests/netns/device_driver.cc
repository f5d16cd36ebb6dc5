// Does with devices what it reads, a line each, and answers with a line: "ok …" or "error CODE …".
// test_device.py says it, and looks at what has become of it from outside. Devices are numbered in
// the order in which they were made. Packets are hexadecimal.
#include <hairpin/device/device.h>
#include <hairpin/device/interrupt.h>

#include <cstdio>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <sstream>
#include <vector>

#ifdef HAIRPIN_DEVICE_DNS
#include <hairpin/device/dns.h>
#endif

namespace {

using namespace hairpin;          // NOLINT(google-build-using-namespace)
using namespace hairpin::device;  // NOLINT(google-build-using-namespace)
using Words = std::vector<std::string>;
using Bytes = std::vector<std::byte>;

// ---- words
// ---------------------------------------------------------------------------------------

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<unsigned>(byte) >> 4U];
    text += kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return text;
}

Bytes unhex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string hex(const nat::VnetHeader& header) {
  return hex(std::as_bytes(std::span(&header, 1)));
}

nat::VnetHeader unhex_header(const std::string& text) {
  nat::VnetHeader header;
  const Bytes bytes = unhex(text);
  std::copy_n(bytes.begin(), sizeof header, reinterpret_cast<std::byte*>(&header));
  return header;
}

unsigned number(const std::string& text) {
  return static_cast<unsigned>(std::stoul(text));
}

/// "ADDRESS/LENGTH[,peer=ADDRESS][,broadcast=ADDRESS]"
InterfaceAddress address_of(const std::string& text) {
  std::istringstream in(text);
  std::string word;
  std::getline(in, word, ',');
  InterfaceAddress address{.prefix = Prefix::parse(word).value()};
  while (std::getline(in, word, ',')) {
    const auto equals = word.find('=');
    const auto value = IpAddr::parse(word.substr(equals + 1)).value();
    (word.starts_with("peer") ? address.peer : address.broadcast) = value;
  }
  return address;
}

std::string text_of(const InterfaceAddress& address) {
  std::string text = address.prefix.text();
  if (address.peer) text += ",peer=" + address.peer->text();
  if (address.broadcast) text += ",broadcast=" + address.broadcast->text();
  return text;
}

Wait wait_of(const std::string& milliseconds) {
  Wait wait;
  if (milliseconds != "-") wait.timeout = std::chrono::milliseconds(number(milliseconds));
  return wait;
}

std::string answer(const Error& error) {
  return "error " + std::to_string(error.code) + " " + error.text();
}

template <class T>
std::string answer(const Result<T>& result, const std::function<std::string(const T&)>& say) {
  return result ? "ok " + say(*result) : answer(result.error());
}

std::string answer(const Result<>& result) {
  return result ? "ok" : answer(result.error());
}

// ---- what can be said
// ----------------------------------------------------------------------------

struct State {
  std::vector<std::optional<Device>> devices;
  Interrupt interrupt = Interrupt::create().value();
  std::future<std::string> waiting;
  std::optional<Batch> batch;

  Device& device(const std::string& id) { return devices.at(number(id)).value(); }
  std::string keep(Result<Device> made) {
    if (!made) return answer(made.error());
    devices.emplace_back(std::move(*made));
    return "ok " + std::to_string(devices.size() - 1);
  }
};

DeviceOptions options_of(const Words& words) {
  DeviceOptions options;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = word.substr(equals + 1);
    if (key == "name") options.name = value;
    if (key == "layer" && value == "tap") options.layer = Layer::ethernet;
    if (key == "offload") options.offload = true;
    if (key == "offload_udp") options.offload_udp = value == "1";
    if (key == "multi_queue") options.multi_queue = true;
    if (key == "reuse") options.reuse = true;
    if (key == "persistent") options.persistent = true;
    if (key == "owner") options.owner = number(value);
    if (key == "group") options.group = number(value);
    if (key == "mac") options.hardware_address = parse_hardware_address(value);
    if (key == "mtu") options.mtu = number(value);
    if (key == "queue_length") options.queue_length = number(value);
    if (key == "address") options.addresses.push_back(address_of(value));
    if (key == "generated") options.generated_addresses = value == "1";
    if (key == "up") options.up = value == "1";
  }
  return options;
}

AdoptOptions adopt_options_of(const Words& words) {
  AdoptOptions options;
  for (const std::string& word : words) {
    if (word.starts_with("name=")) options.name = word.substr(5);
    if (word == "framing=information") options.framing = Framing::information;
  }
  return options;
}

InterfaceChange change_of(const Words& words) {
  InterfaceChange change;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = word.substr(equals + 1);
    if (key == "name") change.name = value;
    if (key == "mtu") change.mtu = number(value);
    if (key == "queue_length") change.queue_length = number(value);
    if (key == "mac") change.hardware_address = parse_hardware_address(value);
    if (key == "up") change.up = value == "1";
  }
  return change;
}

std::string text_of(const InterfaceState& state) {
  std::string text = "name=" + state.name + " mtu=" + std::to_string(state.mtu) +
                     " queue_length=" + std::to_string(state.queue_length) +
                     " up=" + std::to_string(static_cast<int>(state.up)) +
                     " running=" + std::to_string(static_cast<int>(state.running));
  if (state.hardware_address) text += " mac=" + hardware_address_text(*state.hardware_address);
  return text;
}

std::string read_packet(Device& device, const Wait& wait) {
  Bytes buffer(70000);
  nat::VnetHeader header;
  const auto size = device.read(buffer, header, wait);
  if (!size) return answer(size.error());
  return "ok " + hex(header) + " " + hex(std::span(buffer).first(*size));
}

std::string read_batch(State& state, const Words& words) {
  if (!state.batch) state.batch.emplace(64, 2048);
  const auto size = state.device(words[1]).read_batch(*state.batch, wait_of(words[2]));
  if (!size) return answer(size.error());
  std::string text = "ok";
  for (std::size_t i = 0; i < *size; ++i) text += " " + hex((*state.batch)[i]);
  return text;
}

std::string write_batch(Device& device, const Words& words) {
  std::vector<Bytes> packets;
  for (std::size_t i = 2; i < words.size(); ++i) packets.push_back(unhex(words[i]));
  const std::vector<std::span<const std::byte>> views(packets.begin(), packets.end());
  return answer<std::size_t>(device.write_batch(views),
                             [](std::size_t taken) { return std::to_string(taken); });
}

/// cut HEADER PACKET: the segments.
std::string cut(const Words& words) {
  const nat::VnetHeader header = unhex_header(words[1]);
  Bytes packet = unhex(words[2]);
  nat::Segmenter segmenter;
  if (!segmenter.begin(header, packet)) return "error 0 contradiction";
  Bytes out(segmenter.largest());
  std::string text = "ok";
  while (const std::size_t size = segmenter.next(out))
    text += " " + hex(std::span(out).first(size));
  return text;
}

/// join PACKET…: header and packet of each that is to be written.
std::string join(const Words& words) {
  std::vector<Bytes> packets;
  for (std::size_t i = 1; i < words.size(); ++i) packets.push_back(unhex(words[i]));
  nat::Coalescer coalescer;
  for (const Bytes& packet : packets) {
    if (!coalescer.add(packet)) return "error 0 full";
  }
  std::string text = "ok";
  for (std::size_t i = 0; i < coalescer.size(); ++i) {
    const nat::Coalesced one = coalescer[i];
    text += " " + hex(one.header) + " ";
    for (const auto part : one.parts) text += hex(part);
  }
  return text;
}

std::string addresses(Device& device) {
  const auto found = device.addresses();
  if (!found) return answer(found.error());
  std::string text = "ok";
  for (const InterfaceAddress& address : *found) text += " " + text_of(address);
  return text;
}

std::string set_addresses(Device& device, const Words& words) {
  std::vector<InterfaceAddress> wanted;
  for (std::size_t i = 2; i < words.size(); ++i) wanted.push_back(address_of(words[i]));
  return answer(device.set_addresses(wanted));
}

Words from(const Words& words, std::size_t begin) {
  return {words.begin() + static_cast<std::ptrdiff_t>(begin), words.end()};
}

#ifdef HAIRPIN_DEVICE_DNS
/// dns NUMBER [server=ADDRESS[#PORT[#NAME]]] [domain=NAME] [search=NAME] [default=0|1]
std::string set_dns_of(const Words& words) {
  DnsSettings settings;
  for (const std::string& word : from(words, 2)) {
    const auto equals = word.find('=');
    const std::string value = word.substr(equals + 1);
    if (word.starts_with("server=")) {
      std::istringstream in(value);
      std::string part;
      DnsServer& server = settings.servers.emplace_back();
      if (std::getline(in, part, '#')) server.address = IpAddr::parse(part).value();
      if (std::getline(in, part, '#')) server.port = static_cast<std::uint16_t>(number(part));
      if (std::getline(in, part, '#')) server.tls_name = part;
    }
    if (word.starts_with("domain=")) settings.domains.push_back({value, true});
    if (word.starts_with("search=")) settings.domains.push_back({value, false});
    if (word.starts_with("default=")) settings.default_route = value == "1";
  }
  return answer(set_dns(IfIndex{static_cast<int>(number(words[1]))}, settings));
}

std::string dns_of(const Words& words) {
  const auto settings = dns_settings(IfIndex{static_cast<int>(number(words[1]))});
  if (!settings) return answer(settings.error());
  std::string text = "ok";
  for (const DnsServer& server : settings->servers) {
    text += " server=" + server.address.text() + "#" + std::to_string(server.port) + "#" +
            server.tls_name;
  }
  for (const DnsDomain& domain : settings->domains) {
    text += (domain.routing_only ? " domain=" : " search=") + domain.name;
  }
  return text + " default=" + std::to_string(static_cast<int>(*settings->default_route));
}
#endif

using Verb = std::function<std::string(State&, const Words&)>;

const std::map<std::string, Verb> kVerbs{
    {"open", [](State& s, const Words& w) { return s.keep(Device::open(options_of(from(w, 1)))); }},
    {"adopt",
     [](State& s, const Words& w) {
       const auto fd = static_cast<int>(number(w[1]));
       return s.keep(Device::adopt(fd, adopt_options_of(from(w, 2))));
     }},
    {"clone", [](State& s, const Words& w) { return s.keep(s.device(w[1]).clone()); }},
    {"close", [](State& s, const Words& w) { return s.devices.at(number(w[1])).reset(), "ok"; }},
    {"what",
     [](State& s, const Words& w) {
       const Device& device = s.device(w[1]);
       return "ok tap=" + std::to_string(static_cast<int>(device.layer() == Layer::ethernet)) +
              " framing=" + std::to_string(static_cast<int>(device.framing())) +
              " offload=" + std::to_string(static_cast<int>(device.has_offload())) +
              " tcp=" + std::to_string(static_cast<int>(device.segments_tcp())) +
              " udp=" + std::to_string(static_cast<int>(device.segments_udp())) +
              " multi_queue=" + std::to_string(static_cast<int>(device.is_multi_queue()));
     }},
    {"name",
     [](State& s, const Words& w) {
       return answer<std::string>(s.device(w[1]).name(), [](const auto& name) { return name; });
     }},
    {"index",
     [](State& s, const Words& w) {
       return answer<IfIndex>(s.device(w[1]).index(),
                              [](IfIndex index) { return std::to_string(index.value()); });
     }},
    {"state",
     [](State& s, const Words& w) {
       return answer<InterfaceState>(s.device(w[1]).state(),
                                     [](const InterfaceState& state) { return text_of(state); });
     }},
    {"change",
     [](State& s, const Words& w) { return answer(s.device(w[1]).change(change_of(from(w, 2)))); }},
    {"addresses", [](State& s, const Words& w) { return addresses(s.device(w[1])); }},
    {"add",
     [](State& s, const Words& w) { return answer(s.device(w[1]).add_address(address_of(w[2]))); }},
    {"remove",
     [](State& s, const Words& w) {
       return answer(s.device(w[1]).remove_address(IpAddr::parse(w[2]).value()));
     }},
    {"set", [](State& s, const Words& w) { return set_addresses(s.device(w[1]), w); }},
    {"broadcast",
     [](State& s, const Words& w) {
       return answer(
           s.device(w[1]).set_broadcast(IpAddr::parse(w[2]).value(), IpAddr::parse(w[3]).value()));
     }},
    {"persistent",
     [](State& s, const Words& w) { return answer(s.device(w[1]).set_persistent(w[2] == "1")); }},
    {"owner",
     [](State& s, const Words& w) { return answer(s.device(w[1]).set_owner(number(w[2]))); }},
    {"group",
     [](State& s, const Words& w) { return answer(s.device(w[1]).set_group(number(w[2]))); }},
    {"attached",
     [](State& s, const Words& w) { return answer(s.device(w[1]).set_attached(w[2] == "1")); }},
    {"information",
     [](State& s, const Words& w) {
       return answer(s.device(w[1]).set_packet_information(w[2] == "1"));
     }},
    {"read", [](State& s, const Words& w) { return read_packet(s.device(w[1]), wait_of(w[2])); }},
    {"write",
     [](State& s, const Words& w) {
       const auto header = w.size() > 3 ? unhex_header(w[2]) : nat::VnetHeader{};
       return answer(s.device(w[1]).write(unhex(w.back()), header));
     }},
    {"read_batch", read_batch},
    {"write_batch", [](State& s, const Words& w) { return write_batch(s.device(w[1]), w); }},
    {"cut", [](State&, const Words& w) { return cut(w); }},
    {"join", [](State&, const Words& w) { return join(w); }},
    // A read in another thread, which an interrupt or a shutdown may end; what has become of it.
    {"begin_read",
     [](State& s, const Words& w) {
       Wait wait;
       wait.interrupt = &s.interrupt;
       s.waiting = std::async(std::launch::async, [&device = s.device(w[1]), wait] {
         return read_packet(device, wait);
       });
       return "ok";
     }},
    {"end_read", [](State& s, const Words&) { return s.waiting.get(); }},
    {"interrupt", [](State& s, const Words&) { return s.interrupt.trigger(), "ok"; }},
    {"reset", [](State& s, const Words&) { return s.interrupt.reset(), "ok"; }},
    {"shutdown", [](State& s, const Words& w) { return s.device(w[1]).shutdown(), "ok"; }},
#ifdef HAIRPIN_DEVICE_DNS
    {"set_dns", [](State&, const Words& w) { return set_dns_of(w); }},
    {"dns", [](State&, const Words& w) { return dns_of(w); }},
    {"revert_dns",
     [](State&, const Words& w) {
       return answer(revert_dns(IfIndex{static_cast<int>(number(w[1]))}));
     }},
#endif
};

}  // namespace

int main() {
  State state;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    Words words;
    for (std::string word; in >> word;) words.push_back(word);
    std::cout << kVerbs.at(words.at(0))(state, words) << std::endl;
  }
}
