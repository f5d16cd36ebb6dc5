/* hairpin inside another program: a phone's VPN service, a desktop client.
 *
 * The program makes a TUN (Android: VpnService.Builder.establish().detachFd(); iOS and macOS: the
 * descriptor of NEPacketTunnelFlow's utun; anything else that has one) and hands over its
 * descriptor. hairpin carries what comes out of it through the outbounds of a configuration, with
 * TCP and UDP in user space: it needs no rights, no other device, no route and no address, and
 * changes nothing of the system. Routes, addresses and name servers of the TUN are its maker's.
 *
 *     hairpin_set_protect(protect, service);
 *     if (hairpin_start(json, fd) != HAIRPIN_OK) show(hairpin_error());
 *     ...
 *     hairpin_stop();
 *
 * One instance for each process. All functions may be called from any thread, and none from within
 * a callback. Strings are UTF-8. Nothing here will change its meaning: new things get new names.
 */
#ifndef HAIRPIN_H
#define HAIRPIN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define HAIRPIN_API __attribute__((visibility("default")))
#else
#define HAIRPIN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
  HAIRPIN_OK = 0,
  HAIRPIN_ERROR_CONFIG =
      -1, /* The configuration is wrong: hairpin_error() has a line for each fault. */
  HAIRPIN_ERROR_DEVICE = -2, /* The descriptor is no TUN, or cannot be used as one. */
  HAIRPIN_ERROR_STATE = -3,  /* It runs already, or does not run. */
  HAIRPIN_ERROR_SYSTEM = -4  /* Out of memory, threads or descriptors. */
};

/* Starts with a configuration as hairpin-config(5) describes it, and returns when packets are
 * taken. It has one inbound, of type "tun"; "stack" is "userspace" whatever it says, and what would
 * set up the host (auto_route and what goes with it, auto_detect_interface) is refused. "mtu" is
 * that of the TUN, where this process cannot look at it (1500 otherwise). `tun_fd` stays the
 * caller's: it is duplicated, and may be closed at once. */
HAIRPIN_API int hairpin_start(const char* config_json, int tun_fd);

/* Resets all flows, and returns when nothing of hairpin runs any more. */
HAIRPIN_API int hairpin_stop(void);

/* Flows are decided by this configuration from now on; those that run go on as they are. Outbounds,
 * rules, DNS and timeouts may change. */
HAIRPIN_API int hairpin_reload(const char* config_json);

/* What was wrong with the last call of this thread; "" if nothing was. Valid until its next call.
 */
HAIRPIN_API const char* hairpin_error(void);

/* "name=value ..." of all that has been counted, as hairpin(8) lists it. To be freed with
 * hairpin_free(). NULL if it does not run. */
HAIRPIN_API char* hairpin_counters(void);
HAIRPIN_API void hairpin_free(char* text);

HAIRPIN_API const char* hairpin_version(void);

/* What follows counts from the next hairpin_start on. */

/* Called for each outbound socket before it is used, on one of hairpin's threads: to keep it out of
 * the TUN (Android: VpnService.protect). 0 lets it pass, anything else fails the flow. NULL: nobody
 * is asked. Names of proxies are asked for by the system, whose sockets nobody sees: give
 * addresses, or a domain_resolver. */
typedef int (*hairpin_protect)(int socket, void* context);
HAIRPIN_API void hairpin_set_protect(hairpin_protect protect, void* context);

/* Called for each line of the log, on any thread. `level`: 0 trace, 1 debug, 2 info, 3 warn, 4
 * error. NULL: standard error. */
typedef void (*hairpin_log)(int level, const char* line, void* context);
HAIRPIN_API void hairpin_set_log(hairpin_log log, void* context);

/* Bytes that packets and what waits for acknowledgement may take, about; 0: no limit. Beyond it
 * packets are dropped, whose senders send them again, and connections are refused. */
HAIRPIN_API void hairpin_set_memory_limit(size_t bytes);

/* Threads that serve flows; 0: one for each processor. */
HAIRPIN_API void hairpin_set_workers(unsigned workers);

#ifdef __cplusplus
}
#endif

#endif
