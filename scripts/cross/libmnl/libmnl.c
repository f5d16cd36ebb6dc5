/* See include/libmnl/libmnl.h. */
#define _GNU_SOURCE
#include <libmnl/libmnl.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mnl_socket {
  int fd;
  struct sockaddr_nl name;
};

struct mnl_socket* mnl_socket_open2(int bus, int flags) {
  struct mnl_socket* made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  made->fd = socket(AF_NETLINK, SOCK_RAW | flags, bus);
  if (made->fd >= 0) return made;
  free(made);
  return NULL;
}

int mnl_socket_bind(struct mnl_socket* socket, unsigned groups, pid_t port) {
  socket->name =
      (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_groups = groups, .nl_pid = (uint32_t)port};
  if (bind(socket->fd, (struct sockaddr*)&socket->name, sizeof socket->name) < 0) return -1;
  socklen_t size = sizeof socket->name;
  return getsockname(socket->fd, (struct sockaddr*)&socket->name, &size);
}

int mnl_socket_close(struct mnl_socket* socket) {
  const int closed = close(socket->fd);
  free(socket);
  return closed;
}

int mnl_socket_get_fd(const struct mnl_socket* socket) {
  return socket->fd;
}
unsigned mnl_socket_get_portid(const struct mnl_socket* socket) {
  return socket->name.nl_pid;
}

ssize_t mnl_socket_sendto(const struct mnl_socket* socket, const void* data, size_t size) {
  const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  return sendto(socket->fd, data, size, 0, (const struct sockaddr*)&kernel, sizeof kernel);
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket* socket, void* data, size_t size) {
  struct sockaddr_nl from;
  struct iovec part = {.iov_base = data, .iov_len = size};
  struct msghdr message = {
      .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
  const ssize_t got = recvmsg(socket->fd, &message, 0);
  if (got < 0) return -1;
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    errno = ENOSPC;
    return -1;
  }
  if (message.msg_namelen != sizeof from) {
    errno = EINVAL;
    return -1;
  }
  return got;
}

int mnl_socket_setsockopt(const struct mnl_socket* socket, int type, void* value, socklen_t size) {
  return setsockopt(socket->fd, SOL_NETLINK, type, value, size);
}

static void* tail(const struct nlmsghdr* message) {
  return (char*)message + NLMSG_ALIGN(message->nlmsg_len);
}

struct nlmsghdr* mnl_nlmsg_put_header(void* buffer) {
  struct nlmsghdr* message = buffer;
  memset(message, 0, NLMSG_HDRLEN);
  message->nlmsg_len = NLMSG_HDRLEN;
  return message;
}

void* mnl_nlmsg_put_extra_header(struct nlmsghdr* message, size_t size) {
  void* at = tail(message);
  memset(at, 0, NLMSG_ALIGN(size));
  message->nlmsg_len += NLMSG_ALIGN(size);
  return at;
}

void* mnl_nlmsg_get_payload(const struct nlmsghdr* message) {
  return (char*)message + NLMSG_HDRLEN;
}

int mnl_nlmsg_ok(const struct nlmsghdr* message, int size) {
  return size >= (int)sizeof *message && message->nlmsg_len >= sizeof *message &&
         (int)message->nlmsg_len <= size;
}

struct nlmsghdr* mnl_nlmsg_next(const struct nlmsghdr* message, int* size) {
  *size -= (int)NLMSG_ALIGN(message->nlmsg_len);
  return tail(message);
}

static struct nlattr* put_attribute(struct nlmsghdr* message, uint16_t type, size_t size) {
  struct nlattr* attribute = tail(message);
  attribute->nla_type = type;
  attribute->nla_len = (uint16_t)(NLA_HDRLEN + size);
  return attribute;
}

void mnl_attr_put(struct nlmsghdr* message, uint16_t type, size_t size, const void* data) {
  struct nlattr* attribute = put_attribute(message, type, size);
  if (size != 0) memcpy((char*)attribute + NLA_HDRLEN, data, size);
  memset((char*)attribute + NLA_HDRLEN + size, 0, NLA_ALIGN(size) - size);
  message->nlmsg_len += NLA_ALIGN(attribute->nla_len);
}

void mnl_attr_put_u8(struct nlmsghdr* message, uint16_t type, uint8_t value) {
  mnl_attr_put(message, type, sizeof value, &value);
}

void mnl_attr_put_u32(struct nlmsghdr* message, uint16_t type, uint32_t value) {
  mnl_attr_put(message, type, sizeof value, &value);
}

void mnl_attr_put_strz(struct nlmsghdr* message, uint16_t type, const char* text) {
  mnl_attr_put(message, type, strlen(text) + 1, text);
}

struct nlattr* mnl_attr_nest_start(struct nlmsghdr* message, uint16_t type) {
  struct nlattr* nest = put_attribute(message, NLA_F_NESTED | type, 0);
  message->nlmsg_len += NLA_HDRLEN;
  return nest;
}

void mnl_attr_nest_end(struct nlmsghdr* message, struct nlattr* nest) {
  nest->nla_len = (uint16_t)((char*)tail(message) - (char*)nest);
}

uint16_t mnl_attr_get_type(const struct nlattr* attribute) {
  return attribute->nla_type & NLA_TYPE_MASK;
}
uint16_t mnl_attr_get_payload_len(const struct nlattr* attribute) {
  return attribute->nla_len - NLA_HDRLEN;
}
void* mnl_attr_get_payload(const struct nlattr* attribute) {
  return (char*)attribute + NLA_HDRLEN;
}
uint8_t mnl_attr_get_u8(const struct nlattr* attribute) {
  return *(uint8_t*)mnl_attr_get_payload(attribute);
}
const char* mnl_attr_get_str(const struct nlattr* attribute) {
  return mnl_attr_get_payload(attribute);
}

uint32_t mnl_attr_get_u32(const struct nlattr* attribute) {
  uint32_t value;
  memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
  return value;
}

static int parse(const char* at, const char* end, mnl_attr_cb_t callback, void* data) {
  while (end - at >= (ptrdiff_t)sizeof(struct nlattr)) {
    const struct nlattr* attribute = (const void*)at;
    if (attribute->nla_len < sizeof *attribute || attribute->nla_len > end - at) break;
    const int verdict = callback(attribute, data);
    if (verdict <= MNL_CB_STOP) return verdict;
    at += NLA_ALIGN(attribute->nla_len);
  }
  return MNL_CB_OK;
}

int mnl_attr_parse(const struct nlmsghdr* message, unsigned offset, mnl_attr_cb_t callback,
                   void* data) {
  return parse((char*)mnl_nlmsg_get_payload(message) + NLMSG_ALIGN(offset), tail(message), callback,
               data);
}

int mnl_attr_parse_nested(const struct nlattr* nest, mnl_attr_cb_t callback, void* data) {
  return parse(mnl_attr_get_payload(nest), (char*)nest + nest->nla_len, callback, data);
}

static int acknowledged(const struct nlmsghdr* message) {
  if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
    errno = EBADMSG;
    return MNL_CB_ERROR;
  }
  const int error = ((const struct nlmsgerr*)mnl_nlmsg_get_payload(message))->error;
  errno = error < 0 ? -error : error;
  return error == 0 ? MNL_CB_STOP : MNL_CB_ERROR;
}

int mnl_cb_run(const void* buffer, size_t size, unsigned sequence, unsigned port,
               mnl_cb_t data_callback, void* data) {
  int left = (int)size;
  int verdict = MNL_CB_OK;
  for (const struct nlmsghdr* message = buffer; mnl_nlmsg_ok(message, left);
       message = mnl_nlmsg_next(message, &left)) {
    if (message->nlmsg_pid != 0 && port != 0 && message->nlmsg_pid != port) {
      errno = ESRCH;
      return MNL_CB_ERROR;
    }
    if (message->nlmsg_seq != 0 && sequence != 0 && message->nlmsg_seq != sequence) {
      errno = EPROTO;
      return MNL_CB_ERROR;
    }
    if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) {
      errno = EINTR;
      return MNL_CB_ERROR;
    }
    if (message->nlmsg_type == NLMSG_ERROR) {
      verdict = acknowledged(message);
    } else if (message->nlmsg_type == NLMSG_DONE) {
      return MNL_CB_STOP;
    } else if (message->nlmsg_type >= NLMSG_MIN_TYPE && data_callback != NULL) {
      verdict = data_callback(message, data);
    }
    if (verdict <= MNL_CB_STOP) return verdict;
  }
  return verdict;
}
