#include "stack/link.h"

namespace hairpin::stack {

std::string describe(const Link& link) {
  std::string text = link.name;
  for (const IpAddr& address : link.addresses) text += " " + address.text();
  if (link.is_veth()) {
    text += ", veth";
  } else {
    const auto* user = std::get_if<UserParts>(&link.parts);
    const platform::Tun& tun = user != nullptr ? user->tun : std::get<TunParts>(link.parts).outer;
    text += tun.vnet_header ? ", tun, virtio header" : ", tun, no virtio header";
    if (tun.segments_tcp) text += ", TCP segmentation";
    if (tun.segments_udp) text += ", UDP segmentation";
    if (user != nullptr) {
      text += ", TCP and UDP in user space";
    } else if (link.seats) {
      text += ", UDP in user space";
    }
  }
  if (!link.why.empty()) text += " (" + link.why + ")";
  return text;
}

dispatch::Capture capture_of(const Link& link, std::size_t inbound, bool same_namespace) {
  dispatch::Capture capture{inbound, same_namespace, link.addresses, {}};
  // What is taken out of packets here has its own names.
  if (std::holds_alternative<TunParts>(link.parts)) capture.translator.emplace(link.addresses);
  return capture;
}

dispatch::Capture redirection_of(const Link& link, std::size_t inbound, bool same_namespace) {
  return {inbound, same_namespace, link.addresses, {}};
}

}  // namespace hairpin::stack
