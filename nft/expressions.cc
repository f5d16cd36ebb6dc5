#include "nft/expressions.h"

#include <netinet/in.h>  // before the kernel's headers: they give way to it

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <span>

namespace hairpin::nft {

namespace {

constexpr std::uint32_t kRegister = NFT_REG32_00;
constexpr std::uint32_t kRegister64 = NFT_REG_1;  // the same place, for what has eight bytes

/// Translates statements into the kernel's expressions (linux/netfilter/nf_tables.h).
class Expressions {
 public:
  explicit Expressions(nftnl_rule* rule) : rule_(rule) {}

  void operator()(const MatchInputInterface& match) {
    match_name(NFT_META_IIFNAME, match.name, operation(match.compare));
  }
  void operator()(const MatchOutputInterface& match) {
    match_name(NFT_META_OIFNAME, match.name, operation(match.compare));
  }
  void operator()(const MatchFamily& match) {
    const std::uint8_t family = match.family == Family::v4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    load_meta(NFT_META_NFPROTO);
    compare(NFT_CMP_EQ, &family, sizeof family);
  }
  void operator()(const MatchProtocol& match) {
    load_meta(NFT_META_L4PROTO);
    compare(operation(match.compare), &match.protocol, sizeof match.protocol);
  }
  void operator()(const MatchMark& match) {
    load_meta(NFT_META_MARK);
    compare_bits(match.mark.value(), match.mask, operation(match.compare));
  }
  void operator()(const MatchConnectionMark& match) {
    load_ct(NFT_CT_MARK);
    compare_bits(match.mark.value(), match.mask, operation(match.compare));
  }
  void operator()(const MatchReply&) {
    constexpr std::uint8_t kReply =
        1;  // IP_CT_DIR_REPLY (linux/netfilter/nf_conntrack_tuple_common.h)
    load_ct(NFT_CT_DIRECTION);
    compare(NFT_CMP_EQ, &kReply, sizeof kReply);
  }
  void operator()(const MatchNew&) {
    constexpr std::uint32_t kNew = NF_CT_STATE_BIT(IP_CT_NEW);
    load_ct(NFT_CT_STATE);
    compare_bits(0, kNew, NFT_CMP_NEQ);
  }
  void operator()(const MatchTranslated&) {
    load_ct(NFT_CT_STATUS);
    compare_bits(0, IPS_DST_NAT, NFT_CMP_NEQ);
  }
  void operator()(const MatchUdpSourcePort& match) {
    (*this)(MatchProtocol{IPPROTO_UDP});
    load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);
    const std::uint16_t mask = htons(match.mask);
    const std::uint16_t value = htons(match.value);
    keep_bits(std::as_bytes(std::span(&mask, 1)));
    compare(NFT_CMP_EQ, &value, sizeof value);
  }
  void operator()(const MatchUdpPorts& match) {
    (*this)(MatchProtocol{IPPROTO_UDP});
    const std::array<std::uint16_t, 2> ports{htons(match.source), htons(match.destination)};
    for (std::uint32_t i = 0; i < ports.size(); ++i) {
      load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2 * i, 2);
      compare(NFT_CMP_EQ, &ports[i], sizeof ports[i]);
    }
  }
  void operator()(const MatchDestination& match) {
    const IpAddr& address = match.prefix.address;
    load_destination(address.family());
    const std::size_t size = address.size();
    std::array<std::uint8_t, 16> mask{};
    std::array<std::uint8_t, 16> value{};
    for (unsigned bit = 0; bit < match.prefix.length; ++bit) {
      mask[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
    }
    for (std::size_t i = 0; i < size; ++i) value[i] = address.bytes()[i] & mask[i];
    if (match.prefix.length < address.bits()) keep_bits(std::as_bytes(std::span(mask).first(size)));
    compare(NFT_CMP_EQ, value.data(), static_cast<std::uint32_t>(size));
  }
  void operator()(const MatchDestinationSet& match) {
    load_destination(match.family);
    nftnl_expr* lookup = look_up(match.set);
    if (match.compare == Compare::not_equal) {
      nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    }
  }
  void operator()(const MatchEndpointSet& match) {
    // The parts of a key stand one behind the other, each from a 32-bit register on.
    load_destination(match.family);
    const std::uint32_t behind = kRegister + (match.family == Family::v4 ? 1 : 4);
    nftnl_expr* protocol = add("meta");
    nftnl_expr_set_u32(protocol, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
    nftnl_expr_set_u32(protocol, NFTNL_EXPR_META_DREG, behind);
    nftnl_expr* port = add("payload");
    nftnl_expr_set_u32(port, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
    nftnl_expr_set_u32(port, NFTNL_EXPR_PAYLOAD_OFFSET, 2);
    nftnl_expr_set_u32(port, NFTNL_EXPR_PAYLOAD_LEN, 2);
    nftnl_expr_set_u32(port, NFTNL_EXPR_PAYLOAD_DREG, behind + 1);
    look_up(match.set);
  }
  void operator()(const MatchDestinationType& match) {
    nftnl_expr* fib = add("fib");
    nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_DREG, kRegister);
    const auto type = static_cast<std::uint32_t>(match.type);
    compare(NFT_CMP_EQ, &type, sizeof type);
  }
  void operator()(const MatchNotForThisHost&) {
    constexpr std::uint8_t kOtherHost = 3;  // PACKET_OTHERHOST (linux/if_packet.h)
    load_meta(NFT_META_PKTTYPE);
    compare(NFT_CMP_EQ, &kOtherHost, sizeof kOtherHost);
  }
  void operator()(const MatchEtherSource& match) {
    constexpr std::uint16_t kEther = ARPHRD_ETHER;
    constexpr std::uint32_t kOffset = 6;  // of the source in an Ethernet header
    load_meta(NFT_META_IIFTYPE);
    compare(NFT_CMP_EQ, &kEther, sizeof kEther);
    constexpr std::uint32_t kSize = sizeof match.address;
    load_payload(NFT_PAYLOAD_LL_HEADER, kOffset, kSize);
    compare(operation(match.compare), match.address.data(), kSize);
  }
  void operator()(const MatchUser& match) {
    const auto& [first, last] = match.users;
    load_meta(NFT_META_SKUID);
    if (first == last) return compare(operation(match.compare), &first, sizeof first);
    to_network_order(sizeof first);  // ranges are compared byte by byte
    const std::uint32_t from = htonl(first);
    const std::uint32_t to = htonl(last);
    nftnl_expr* range = add("range");
    nftnl_expr_set_u32(range, NFTNL_EXPR_RANGE_SREG, kRegister);
    nftnl_expr_set_u32(range, NFTNL_EXPR_RANGE_OP,
                       match.compare == Compare::equal ? NFT_RANGE_EQ : NFT_RANGE_NEQ);
    nftnl_expr_set(range, NFTNL_EXPR_RANGE_FROM_DATA, &from, sizeof from);
    nftnl_expr_set(range, NFTNL_EXPR_RANGE_TO_DATA, &to, sizeof to);
  }
  void operator()(const MatchControlGroup& match) {
    nftnl_expr* socket = add("socket");
    nftnl_expr_set_u32(socket, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_CGROUPV2);
    nftnl_expr_set_u32(socket, NFTNL_EXPR_SOCKET_LEVEL, match.level());
    nftnl_expr_set_u32(socket, NFTNL_EXPR_SOCKET_DREG, kRegister64);
    compare(operation(match.compare), &match.id, sizeof match.id, kRegister64);
  }
  void operator()(const MatchSyn& match) {
    constexpr std::uint32_t kFlags = 13;  // their offset in a TCP header
    constexpr std::uint8_t kSyn = 2;
    constexpr std::uint8_t kSynOrReset = 6;
    (*this)(MatchProtocol{IPPROTO_TCP});
    load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, kFlags, 1);
    keep_bits(std::as_bytes(std::span(&kSynOrReset, 1)));
    compare(operation(match.compare), &kSyn, sizeof kSyn);
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
    if (set.mask == ~0U) {
      const std::uint32_t mark = set.mark.value();
      load_immediate(&mark, sizeof mark);
    } else {
      load_meta(NFT_META_MARK);
      replace_bits(set.mark.value(), set.mask);
    }
    nftnl_expr* expression = add("meta");
    nftnl_expr_set_u32(expression, NFTNL_EXPR_META_KEY, NFT_META_MARK);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_META_SREG, kRegister);
  }
  void operator()(const SetConnectionMark& set) {
    if (set.mask == ~0U) {
      const std::uint32_t mark = set.mark.value();
      load_immediate(&mark, sizeof mark);
    } else {
      load_ct(NFT_CT_MARK);
      replace_bits(set.mark.value(), set.mask);
    }
    nftnl_expr* expression = add("ct");
    nftnl_expr_set_u32(expression, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_CT_SREG, kRegister);
  }
  void operator()(const Redirect& redirect) {
    const std::uint16_t port = htons(redirect.port);
    load_immediate(&port, sizeof port);
    nftnl_expr_set_u32(add("redir"), NFTNL_EXPR_REDIR_REG_PROTO_MIN, kRegister);
  }
  void operator()(const ClampSegments&) {
    constexpr std::uint32_t kSize = 2;    // of the option's value
    constexpr std::uint32_t kOffset = 2;  // behind its kind and its length
    constexpr std::uint8_t kMaxSegment = 2;
    nftnl_expr* mtu = add("rt");
    nftnl_expr_set_u32(mtu, NFTNL_EXPR_RT_KEY, NFT_RT_TCPMSS);
    nftnl_expr_set_u32(mtu, NFTNL_EXPR_RT_DREG, kRegister);
    to_network_order(kSize);
    nftnl_expr* option = add("exthdr");
    nftnl_expr_set_u32(option, NFTNL_EXPR_EXTHDR_SREG, kRegister);
    nftnl_expr_set_u8(option, NFTNL_EXPR_EXTHDR_TYPE, kMaxSegment);
    nftnl_expr_set_u32(option, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
    nftnl_expr_set_u32(option, NFTNL_EXPR_EXTHDR_OFFSET, kOffset);
    nftnl_expr_set_u32(option, NFTNL_EXPR_EXTHDR_LEN, kSize);
  }
  void operator()(const Queue& queue) {
    if (queue.kind == QueueKind::compat) return queue_by_xtables(queue);
    nftnl_expr* expression = add("queue");
    nftnl_expr_set_u16(expression, NFTNL_EXPR_QUEUE_NUM, queue.first);
    nftnl_expr_set_u16(expression, NFTNL_EXPR_QUEUE_TOTAL, queue.count);
    nftnl_expr_set_u16(expression, NFTNL_EXPR_QUEUE_FLAGS, NFT_QUEUE_FLAG_BYPASS);
  }
  void operator()(const Reject& reject) {
    nftnl_expr* expression = add("reject");
    if (reject.refusal == Refusal::reset) {
      nftnl_expr_set_u32(expression, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
      return;
    }
    nftnl_expr_set_u32(expression, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
    nftnl_expr_set_u8(expression, NFTNL_EXPR_REJECT_CODE,
                      static_cast<std::uint8_t>(reject.refusal));
  }
  void operator()(const Goto& on) {
    nftnl_expr* immediate = add("immediate");
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(NFT_GOTO));
    nftnl_expr_set_str(immediate, NFTNL_EXPR_IMM_CHAIN, on.chain.c_str());
  }
  void operator()(const Accept&) { verdict(NF_ACCEPT); }
  void operator()(const Drop&) { verdict(NF_DROP); }
  void operator()(const Return&) { verdict(NFT_RETURN); }

 private:
  nftnl_expr* look_up(const std::string& set) {
    nftnl_expr* lookup = add("lookup");
    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, kRegister);
    nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, set.c_str());
    return lookup;
  }
  void queue_by_xtables(const Queue& queue) {
    constexpr std::uint32_t kRevision = 3;
    constexpr std::size_t kAligned = 8;  // what the kernel takes for the size of any target's data
    const xt_NFQ_info_v3 info{queue.first, queue.count, NFQ_FLAG_BYPASS};
    static_assert(sizeof info <= kAligned);
    void* data = std::calloc(1, kAligned);  // the expression owns and frees it
    if (data == nullptr) return;            // a rule without it is one that does not queue
    std::memcpy(data, &info, sizeof info);
    nftnl_expr* target = add("target");
    nftnl_expr_set_str(target, NFTNL_EXPR_TG_NAME, "NFQUEUE");
    nftnl_expr_set_u32(target, NFTNL_EXPR_TG_REV, kRevision);
    nftnl_expr_set(target, NFTNL_EXPR_TG_INFO, data, kAligned);
  }
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
  void load_ct(std::uint32_t key) {
    nftnl_expr* ct = add("ct");
    nftnl_expr_set_u32(ct, NFTNL_EXPR_CT_KEY, key);
    nftnl_expr_set_u32(ct, NFTNL_EXPR_CT_DREG, kRegister);
  }
  void load_destination(Family family) {
    (*this)(MatchFamily{family});
    constexpr std::uint32_t kOffset4 = 16;  // of the destination in the IP header
    constexpr std::uint32_t kOffset6 = 24;
    const bool v4 = family == Family::v4;
    load_payload(NFT_PAYLOAD_NETWORK_HEADER, v4 ? kOffset4 : kOffset6, v4 ? 4 : 16);
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
    bitwise(mask.data(), none.data(), static_cast<std::uint32_t>(mask.size()));
  }
  /// The register's bits under `mask` become those of `value`.
  void replace_bits(std::uint32_t value, std::uint32_t mask) {
    const std::uint32_t kept = ~mask;
    bitwise(&kept, &value, sizeof value);
  }
  /// (register & mask) ^ flip
  void bitwise(const void* mask, const void* flip, std::uint32_t size) {
    nftnl_expr* bits = add("bitwise");
    nftnl_expr_set_u32(bits, NFTNL_EXPR_BITWISE_SREG, kRegister);
    nftnl_expr_set_u32(bits, NFTNL_EXPR_BITWISE_DREG, kRegister);
    nftnl_expr_set_u32(bits, NFTNL_EXPR_BITWISE_LEN, size);
    nftnl_expr_set(bits, NFTNL_EXPR_BITWISE_MASK, mask, size);
    nftnl_expr_set(bits, NFTNL_EXPR_BITWISE_XOR, flip, size);
  }
  void to_network_order(std::uint32_t size) {
    nftnl_expr* order = add("byteorder");
    nftnl_expr_set_u32(order, NFTNL_EXPR_BYTEORDER_SREG, kRegister);
    nftnl_expr_set_u32(order, NFTNL_EXPR_BYTEORDER_DREG, kRegister);
    nftnl_expr_set_u32(order, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
    nftnl_expr_set_u32(order, NFTNL_EXPR_BYTEORDER_LEN, size);
    nftnl_expr_set_u32(order, NFTNL_EXPR_BYTEORDER_SIZE, size);
  }
  void load_immediate(const void* data, std::uint32_t size) {
    nftnl_expr* immediate = add("immediate");
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, kRegister);
    nftnl_expr_set(immediate, NFTNL_EXPR_IMM_DATA, data, size);
  }
  static std::uint32_t operation(Compare compare) {
    return compare == Compare::equal ? NFT_CMP_EQ : NFT_CMP_NEQ;
  }
  void compare(std::uint32_t how, const void* data, std::uint32_t size,
               std::uint32_t source = kRegister) {
    nftnl_expr* cmp = add("cmp");
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, source);
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, how);
    nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, data, size);
  }
  void compare_bits(std::uint32_t value, std::uint32_t mask, std::uint32_t how) {
    if (mask != ~0U) keep_bits(std::as_bytes(std::span(&mask, 1)));
    compare(how, &value, sizeof value);
  }
  void match_name(std::uint32_t key, const std::string& name, std::uint32_t how) {
    std::array<char, 16> padded{};  // IFNAMSIZ: names are compared with their padding
    std::memcpy(padded.data(), name.data(), std::min(name.size(), padded.size() - 1));
    load_meta(key);
    compare(how, padded.data(), padded.size());
  }
  void verdict(int code) {
    nftnl_expr* immediate = add("immediate");
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(code));
  }

  nftnl_rule* rule_;
};

}  // namespace

void add_expressions(const Rule& rule, nftnl_rule* to) {
  Expressions expressions(to);
  for (const Statement& statement : rule.statements) std::visit(expressions, statement);
}

}  // namespace hairpin::nft
