/* The part of libmnl's interface that platform/ uses, for static builds on a machine whose Debian
 * mirror does not hold libmnl's source. Where it does, scripts/cross/musl takes libmnl itself. What
 * each function does is libmnl's documentation; the format is linux/netlink.h. */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MNL_SOCKET_AUTOPID 0
#define MNL_CB_ERROR (-1)
#define MNL_CB_STOP 0
#define MNL_CB_OK 1

struct mnl_socket;
typedef int (*mnl_attr_cb_t)(const struct nlattr* attribute, void* data);
typedef int (*mnl_cb_t)(const struct nlmsghdr* message, void* data);

struct mnl_socket* mnl_socket_open2(int bus, int flags);
int mnl_socket_bind(struct mnl_socket* socket, unsigned groups, pid_t port);
int mnl_socket_close(struct mnl_socket* socket);
int mnl_socket_get_fd(const struct mnl_socket* socket);
unsigned mnl_socket_get_portid(const struct mnl_socket* socket);
ssize_t mnl_socket_sendto(const struct mnl_socket* socket, const void* data, size_t size);
ssize_t mnl_socket_recvfrom(const struct mnl_socket* socket, void* data, size_t size);
int mnl_socket_setsockopt(const struct mnl_socket* socket, int type, void* value, socklen_t size);

struct nlmsghdr* mnl_nlmsg_put_header(void* buffer);
void* mnl_nlmsg_put_extra_header(struct nlmsghdr* message, size_t size);
void* mnl_nlmsg_get_payload(const struct nlmsghdr* message);
int mnl_nlmsg_ok(const struct nlmsghdr* message, int size);
struct nlmsghdr* mnl_nlmsg_next(const struct nlmsghdr* message, int* size);

void mnl_attr_put(struct nlmsghdr* message, uint16_t type, size_t size, const void* data);
void mnl_attr_put_u8(struct nlmsghdr* message, uint16_t type, uint8_t value);
void mnl_attr_put_u32(struct nlmsghdr* message, uint16_t type, uint32_t value);
void mnl_attr_put_strz(struct nlmsghdr* message, uint16_t type, const char* text);
struct nlattr* mnl_attr_nest_start(struct nlmsghdr* message, uint16_t type);
void mnl_attr_nest_end(struct nlmsghdr* message, struct nlattr* nest);

uint16_t mnl_attr_get_type(const struct nlattr* attribute);
uint16_t mnl_attr_get_payload_len(const struct nlattr* attribute);
void* mnl_attr_get_payload(const struct nlattr* attribute);
uint8_t mnl_attr_get_u8(const struct nlattr* attribute);
uint32_t mnl_attr_get_u32(const struct nlattr* attribute);
const char* mnl_attr_get_str(const struct nlattr* attribute);
int mnl_attr_parse(const struct nlmsghdr* message, unsigned offset, mnl_attr_cb_t callback,
                   void* data);
int mnl_attr_parse_nested(const struct nlattr* nest, mnl_attr_cb_t callback, void* data);

int mnl_cb_run(const void* buffer, size_t size, unsigned sequence, unsigned port,
               mnl_cb_t data_callback, void* data);

#ifdef __cplusplus
}
#endif
