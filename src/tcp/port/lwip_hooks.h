// What lwIP leaves to its user.
#pragma once

#include <lwip/ip_addr.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The first sequence number of a connection (RFC 6528).
u32_t hairpin_lwip_isn(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote,
                       u16_t remote_port);

/// Packets leave by the device that they came from: the one that is served just now.
struct netif* hairpin_lwip_route(void);

#ifdef __cplusplus
}
#endif
