#include "nft/apply.h"

#include <fcntl.h>
#include <netinet/in.h>  // before the kernel's headers: they give way to it

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nft/render.h"

namespace hairpin::nft {

namespace {

constexpr std::uint32_t kRegister = NFT_REG32_00;

template <class T, void (*Free)(const T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using TablePtr = std::unique_ptr<nftnl_table, Freer<nftnl_table, nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Freer<nftnl_chain, nftnl_chain_free>>;
using ObjectPtr = std::unique_ptr<nftnl_obj, Freer<nftnl_obj, nftnl_obj_free>>;
using RulePtr = std::unique_ptr<nftnl_rule, Freer<nftnl_rule, nftnl_rule_free>>;
struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using SocketPtr = std::unique_ptr<mnl_socket, CloseSocket>;

/// Translates statements into the kernel's expressions (linux/netfilter/nf_tables.h).
class Expressions {
 public:
  explicit Expressions(nftnl_rule* rule) : rule_(rule) {}

  void operator()(const MatchInputInterface& match) {
    match_name(NFT_META_IIFNAME, match.name,
               match.compare == Compare::equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
  }
  void operator()(const MatchOutputInterface& match) {
    match_name(NFT_META_OIFNAME, match.name, NFT_CMP_EQ);
  }
  void operator()(const MatchFamily& match) {
    const std::uint8_t family = match.family == Family::v4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    load_meta(NFT_META_NFPROTO);
    compare(NFT_CMP_EQ, &family, sizeof family);
  }
  void operator()(const MatchProtocol& match) {
    load_meta(NFT_META_L4PROTO);
    compare(NFT_CMP_EQ, &match.protocol, sizeof match.protocol);
  }
  void operator()(const MatchMark& match) {
    const std::uint32_t mark = match.mark.value();
    load_meta(NFT_META_MARK);
    compare(NFT_CMP_EQ, &mark, sizeof mark);
  }
  void operator()(const MatchUdpSourcePort& match) {
    (*this)(MatchProtocol{IPPROTO_UDP});
    load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);
    const std::uint16_t mask = htons(match.mask);
    const std::uint16_t value = htons(match.value);
    keep_bits(std::as_bytes(std::span(&mask, 1)));
    compare(NFT_CMP_EQ, &value, sizeof value);
  }
  void operator()(const MatchDestination& match) {
    const IpAddr& address = match.prefix.address;
    (*this)(MatchFamily{address.family()});
    constexpr std::uint32_t kOffset4 = 16;  // of the destination in the IP header
    constexpr std::uint32_t kOffset6 = 24;
    const auto size = static_cast<std::uint32_t>(address.size());
    load_payload(NFT_PAYLOAD_NETWORK_HEADER, address.is_v4() ? kOffset4 : kOffset6, size);
    std::array<std::uint8_t, 16> mask{};
    std::array<std::uint8_t, 16> value{};
    for (unsigned bit = 0; bit < match.prefix.length; ++bit) {
      mask[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
    }
    for (std::size_t i = 0; i < size; ++i) value[i] = address.bytes()[i] & mask[i];
    if (match.prefix.length < address.bits()) keep_bits(std::as_bytes(std::span(mask).first(size)));
    compare(NFT_CMP_EQ, value.data(), size);
  }
  void operator()(const MatchIcmpType& match) {
    (*this)(MatchProtocol{match.family == Family::v4 ? std::uint8_t{IPPROTO_ICMP}
                                                     : std::uint8_t{IPPROTO_ICMPV6}});
    load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    compare(NFT_CMP_EQ, &match.type, sizeof match.type);
  }
  void operator()(const Counter&) { add("counter"); }
  void operator()(const CountInto& counter) {
    nftnl_expr* reference = add("objref");
    nftnl_expr_set_u32(reference, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
    nftnl_expr_set_str(reference, NFTNL_EXPR_OBJREF_IMM_NAME, counter.name.c_str());
  }
  void operator()(const Tproxy& tproxy) {
    const std::uint16_t port = htons(tproxy.port);
    load_immediate(&port, sizeof port);
    nftnl_expr* expression = add("tproxy");
    nftnl_expr_set_u32(expression, NFTNL_EXPR_TPROXY_FAMILY,
                       tproxy.family == Family::v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_TPROXY_REG_PORT, kRegister);
  }
  void operator()(const SetMark& set) {
    const std::uint32_t mark = set.mark.value();
    load_immediate(&mark, sizeof mark);
    nftnl_expr* expression = add("meta");
    nftnl_expr_set_u32(expression, NFTNL_EXPR_META_KEY, NFT_META_MARK);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_META_SREG, kRegister);
  }
  void operator()(const Reject&) {
    nftnl_expr* expression = add("reject");
    nftnl_expr_set_u32(expression, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
    nftnl_expr_set_u8(expression, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
  }
  void operator()(const Accept&) { verdict(NF_ACCEPT); }
  void operator()(const Drop&) { verdict(NF_DROP); }
  void operator()(const Return&) { verdict(NFT_RETURN); }

 private:
  /// The rule owns the expression.
  nftnl_expr* add(const char* name) {
    nftnl_expr* expression = nftnl_expr_alloc(name);
    nftnl_rule_add_expr(rule_, expression);
    return expression;
  }
  void load_meta(std::uint32_t key) {
    nftnl_expr* meta = add("meta");
    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, kRegister);
  }
  void load_payload(std::uint32_t base, std::uint32_t offset, std::uint32_t size) {
    nftnl_expr* payload = add("payload");
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_LEN, size);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_DREG, kRegister);
  }
  void keep_bits(std::span<const std::byte> mask) {
    const std::array<std::byte, 16> none{};
    const auto size = static_cast<std::uint32_t>(mask.size());
    nftnl_expr* bits = add("bitwise");
    nftnl_expr_set_u32(bits, NFTNL_EXPR_BITWISE_SREG, kRegister);
    nftnl_expr_set_u32(bits, NFTNL_EXPR_BITWISE_DREG, kRegister);
    nftnl_expr_set_u32(bits, NFTNL_EXPR_BITWISE_LEN, size);
    nftnl_expr_set(bits, NFTNL_EXPR_BITWISE_MASK, mask.data(), size);
    nftnl_expr_set(bits, NFTNL_EXPR_BITWISE_XOR, none.data(), size);
  }
  void load_immediate(const void* data, std::uint32_t size) {
    nftnl_expr* immediate = add("immediate");
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, kRegister);
    nftnl_expr_set(immediate, NFTNL_EXPR_IMM_DATA, data, size);
  }
  void compare(std::uint32_t operation, const void* data, std::uint32_t size) {
    nftnl_expr* cmp = add("cmp");
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, kRegister);
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, operation);
    nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, data, size);
  }
  void match_name(std::uint32_t key, const std::string& name, std::uint32_t operation) {
    std::array<char, 16> padded{};  // IFNAMSIZ: names are compared with their padding
    std::memcpy(padded.data(), name.data(), std::min(name.size(), padded.size() - 1));
    load_meta(key);
    compare(operation, padded.data(), padded.size());
  }
  void verdict(int code) {
    nftnl_expr* immediate = add("immediate");
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(code));
  }

  nftnl_rule* rule_;
};

/// One transaction: messages between a begin and an end, and what each of them is about.
class Batch {
 public:
  /// `capacity`: bytes of all messages, to the safe side.
  explicit Batch(std::size_t capacity)
      : buffer_(capacity * 2), batch_(mnl_nlmsg_batch_start(buffer_.data(), capacity)) {
    nftnl_batch_begin(here(), sequence_++);
    end();
  }
  ~Batch() { mnl_nlmsg_batch_stop(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  nlmsghdr* begin(std::uint16_t type, std::uint16_t flags, std::string about) {
    about_[sequence_] = std::move(about);
    return nftnl_nlmsg_build_hdr(here(), type, NFPROTO_INET, flags, sequence_++);
  }
  void end() { fits_ = mnl_nlmsg_batch_next(batch_) && fits_; }

  Result<> commit(mnl_socket* socket) {
    nftnl_batch_end(here(), sequence_++);
    end();
    if (!fits_) return Error{"nftables: the transaction is too large", E2BIG};
    if (mnl_socket_sendto(socket, mnl_nlmsg_batch_head(batch_), mnl_nlmsg_batch_size(batch_)) < 0) {
      return last_error("send nftables transaction");
    }
    // The kernel has done its work when send returns: what it complains about is waiting to be
    // read, and if nothing is, all is done.
    for (;;) {
      std::array<char, 16384> answer{};
      const ssize_t size =
          ::recv(mnl_socket_get_fd(socket), answer.data(), answer.size(), MSG_DONTWAIT);
      if (size < 0 && errno == EAGAIN) return {};
      if (size <= 0) return last_error("nftables");
      auto length = static_cast<int>(size);
      const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
      for (; mnl_nlmsg_ok(header, length); header = mnl_nlmsg_next(header, &length)) {
        if (header->nlmsg_type != NLMSG_ERROR) continue;
        const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
        if (error->error == 0) continue;
        const auto about = about_.find(header->nlmsg_seq);
        return Error{about != about_.end() ? about->second : "nftables transaction", -error->error};
      }
    }
  }

 private:
  char* here() { return static_cast<char*>(mnl_nlmsg_batch_current(batch_)); }

  std::vector<char> buffer_;
  mnl_nlmsg_batch* batch_;
  std::uint32_t sequence_ = 1;
  bool fits_ = true;
  std::map<std::uint32_t, std::string> about_;
};

void put_table(Batch& batch, const Table& table, std::uint16_t type, std::uint16_t flags) {
  const TablePtr object(nftnl_table_alloc());
  nftnl_table_set_str(object.get(), NFTNL_TABLE_NAME, table.name.c_str());
  nftnl_table_set_u32(object.get(), NFTNL_TABLE_FAMILY, NFPROTO_INET);
  if (type == NFT_MSG_NEWTABLE && table.owned) {
    nftnl_table_set_u32(object.get(), NFTNL_TABLE_FLAGS, NFT_TABLE_F_OWNER);
  }
  nlmsghdr* header = batch.begin(type, flags, "nftables: table inet " + table.name);
  nftnl_table_nlmsg_build_payload(header, object.get());
  batch.end();
}

void put_counter(Batch& batch, const Table& table, const std::string& name) {
  const ObjectPtr object(nftnl_obj_alloc());
  nftnl_obj_set_str(object.get(), NFTNL_OBJ_TABLE, table.name.c_str());
  nftnl_obj_set_str(object.get(), NFTNL_OBJ_NAME, name.c_str());
  nftnl_obj_set_u32(object.get(), NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
  nftnl_obj_set_u64(object.get(), NFTNL_OBJ_CTR_PKTS, 0);
  nftnl_obj_set_u64(object.get(), NFTNL_OBJ_CTR_BYTES, 0);
  nlmsghdr* header = batch.begin(NFT_MSG_NEWOBJ, NLM_F_CREATE, "nftables: counter " + name);
  nftnl_obj_nlmsg_build_payload(header, object.get());
  batch.end();
}

std::uint32_t hook_number(Hook hook) {
  switch (hook) {
    case Hook::prerouting:
      return NF_INET_PRE_ROUTING;
    case Hook::input:
      return NF_INET_LOCAL_IN;
    case Hook::output:
      return NF_INET_LOCAL_OUT;
  }
  return NF_INET_NUMHOOKS;
}

void put_chain(Batch& batch, const Table& table, const Chain& chain) {
  const ChainPtr object(nftnl_chain_alloc());
  nftnl_chain_set_str(object.get(), NFTNL_CHAIN_TABLE, table.name.c_str());
  nftnl_chain_set_str(object.get(), NFTNL_CHAIN_NAME, chain.name.c_str());
  nftnl_chain_set_str(object.get(), NFTNL_CHAIN_TYPE, "filter");
  nftnl_chain_set_u32(object.get(), NFTNL_CHAIN_HOOKNUM, hook_number(chain.hook));
  nftnl_chain_set_u32(object.get(), NFTNL_CHAIN_PRIO, static_cast<std::uint32_t>(chain.priority));
  nftnl_chain_set_u32(object.get(), NFTNL_CHAIN_POLICY, NF_ACCEPT);
  nlmsghdr* header = batch.begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE, "nftables: chain " + chain.name);
  nftnl_chain_nlmsg_build_payload(header, object.get());
  batch.end();
}

void put_rule(Batch& batch, const Table& table, const Chain& chain, const Rule& rule) {
  const RulePtr object(nftnl_rule_alloc());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_TABLE, table.name.c_str());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_CHAIN, chain.name.c_str());
  nftnl_rule_set_u32(object.get(), NFTNL_RULE_FAMILY, NFPROTO_INET);
  Expressions expressions(object.get());
  std::string text;
  for (const Statement& statement : rule.statements) {
    std::visit(expressions, statement);
    text += (text.empty() ? "" : " ") + render(statement);
  }
  nlmsghdr* header = batch.begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
                                 "nftables: rule \"" + text + "\" in chain " + chain.name);
  nftnl_rule_nlmsg_build_payload(header, object.get());
  batch.end();
}

}  // namespace

Result<Fd> apply(const Table& table) {
  const SocketPtr socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return last_error("open nfnetlink socket");
  }
  constexpr std::size_t kRuleBytes = 2048;  // three times what our longest rule takes
  std::size_t rules = 8;                    // the table's own messages
  rules += table.counters.size();
  for (const Chain& chain : table.chains) rules += 1 + chain.rules.size();
  Batch batch(rules * kRuleBytes);
  // Adding, deleting and adding again replaces a table whether it was there or not.
  put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  put_table(batch, table, NFT_MSG_DELTABLE, 0);
  put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  for (const std::string& counter : table.counters) put_counter(batch, table, counter);
  for (const Chain& chain : table.chains) {
    put_chain(batch, table, chain);
    for (const Rule& rule : chain.rules) put_rule(batch, table, chain, rule);
  }
  if (auto done = batch.commit(socket.get()); !done) return done.error();
  // The owner is the netlink port, which lives as long as any copy of the descriptor.
  Fd owner(::fcntl(mnl_socket_get_fd(socket.get()), F_DUPFD_CLOEXEC, 3));
  if (!owner) return last_error("dup");
  return owner;
}

Result<std::vector<CounterValue>> read_counters(const Fd& owner, const std::string& table) {
  const std::string what = "nftables: counters of table " + table;
  std::array<char, 16384> buffer{};
  nlmsghdr* request =
      nftnl_nlmsg_build_hdr(buffer.data(), NFT_MSG_GETOBJ, NFPROTO_INET, NLM_F_DUMP, 1);
  const ObjectPtr wanted(nftnl_obj_alloc());
  nftnl_obj_set_str(wanted.get(), NFTNL_OBJ_TABLE, table.c_str());
  nftnl_obj_set_u32(wanted.get(), NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
  nftnl_obj_nlmsg_build_payload(request, wanted.get());
  // What an earlier call left unread, because it was interrupted, is not the answer to this one.
  std::array<char, 16384> stale{};
  while (::recv(owner.get(), stale.data(), stale.size(), MSG_DONTWAIT) > 0) {
  }
  if (::send(owner.get(), request, request->nlmsg_len, 0) < 0) return last_error(what);

  std::vector<CounterValue> values;
  const mnl_cb_t each = [](const nlmsghdr* header, void* data) {
    const ObjectPtr object(nftnl_obj_alloc());
    if (nftnl_obj_nlmsg_parse(header, object.get()) < 0) return MNL_CB_OK;
    static_cast<std::vector<CounterValue>*>(data)->push_back(
        {nftnl_obj_get_str(object.get(), NFTNL_OBJ_NAME),
         nftnl_obj_get_u64(object.get(), NFTNL_OBJ_CTR_PKTS)});
    return MNL_CB_OK;
  };
  for (;;) {
    const ssize_t size = ::recv(owner.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return last_error(what);
    const int verdict =
        mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), 1, 0, each, &values);
    if (verdict < 0) return last_error(what);
    if (verdict == MNL_CB_STOP) return values;
  }
}

}  // namespace hairpin::nft
