// Which parts of lwIP are built, and how large they are (lwIP's opt.h says what each name means).
//
// One thread calls lwIP, an event loop (NO_SYS); whoever calls it runs its timers, too. Of the
// Internet protocols only TCP is left to it: all else is dealt with before packets get there.
#pragma once

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_STATS 0
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS 1

// Memory is the heap's: pools would be limits of their own.
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_POOL_BUFSIZE 1536  // not used

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ICMP 0
#define LWIP_ICMP6 1  // nd6.c calls it
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_UDP 0
#define LWIP_RAW 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_ND6_QUEUEING 0
#define LWIP_ND6_ALLOW_RA_UPDATES 0
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define LWIP_IPV6_NUM_ADDRESSES 2
#define LWIP_IPV6_SCOPES 0
#define LWIP_NETIF_LOOPBACK 0
// With each segment that is sent, lwIP names a member of its connection; an argument of ours is
// beside it.
#define LWIP_NETIF_HWADDRHINT 1
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1

// Fragments are put together before packets get here, and none are made: the device does that.
#define IP_FRAG 0
#define LWIP_IPV6_FRAG 0
#define IP_REASSEMBLY 0
#define LWIP_IPV6_REASS 0

// Sums have been looked at before packets get here, and are made behind it: often not at all, where
// a packet never leaves the host.
#define CHECKSUM_CHECK_IP 0
#define CHECKSUM_CHECK_TCP 0
#define CHECKSUM_CHECK_ICMP6 0
#define CHECKSUM_GEN_IP 1
#define CHECKSUM_GEN_TCP 0
#define CHECKSUM_GEN_ICMP6 1

#define LWIP_TCP 1
// The largest segment: what an IPv6 packet of 65,535 bytes holds. lwIP takes it for a mistake.
#define TCP_MSS 65475
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 6
#define TCP_WND (65535U << 6)  // the most; each connection has its own
#define TCP_SND_BUF (2U << 20)
#define TCP_SND_QUEUELEN 4096
#define TCP_OVERSIZE 0
#define TCP_QUEUE_OOSEQ 1
#define LWIP_TCP_SACK_OUT 1
#define TCP_LISTEN_BACKLOG 0
#define LWIP_TCP_KEEPALIVE 1
// Twice this is how long lwIP waits for a client that has said all and takes nothing: more than the
// time between two probes of its window. Connections in TIME_WAIT do not wait as long
// (Stack::tick).
#define TCP_MSL 60000
#define LWIP_HOOK_FILENAME "lwip_hooks.h"
#define LWIP_HOOK_TCP_ISN hairpin_lwip_isn
#define LWIP_HOOK_IP4_ROUTE_SRC(source, destination) hairpin_lwip_route()
#define LWIP_HOOK_IP6_ROUTE(source, destination) hairpin_lwip_route()
