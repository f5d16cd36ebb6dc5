// What travels through the program: one TCP connection, or one UDP datagram's pair of ends.
#pragma once

#include <string>

#include "base/address.h"
#include "config/config.h"

namespace hairpin {

using config::Network;

struct Flow {
  Network network = Network::tcp;
  Endpoint client;
  Endpoint destination;
  std::size_t inbound = 0;  ///< Index in Config::inbounds.

  std::string text() const {
    return std::string(config::name(network)) + " " + client.text() + " -> " + destination.text();
  }
};

}  // namespace hairpin
