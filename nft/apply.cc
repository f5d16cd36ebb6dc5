#include "nft/apply.h"

#include <fcntl.h>
#include <netinet/in.h>  // before the kernel's headers: they give way to it

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nft/expressions.h"
#include "nft/intervals.h"
#include "nft/render.h"

namespace hairpin::nft {

namespace {

template <class T, void (*Free)(const T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using TablePtr = std::unique_ptr<nftnl_table, Freer<nftnl_table, nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Freer<nftnl_chain, nftnl_chain_free>>;
using ObjectPtr = std::unique_ptr<nftnl_obj, Freer<nftnl_obj, nftnl_obj_free>>;
using SetPtr = std::unique_ptr<nftnl_set, Freer<nftnl_set, nftnl_set_free>>;
using RulePtr = std::unique_ptr<nftnl_rule, Freer<nftnl_rule, nftnl_rule_free>>;
struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using SocketPtr = std::unique_ptr<mnl_socket, CloseSocket>;

/// One transaction: messages between a begin and an end, and what each of them is about.
class Batch {
 public:
  Batch() {
    nftnl_batch_begin(here(), sequence_++);
    end();
  }

  nlmsghdr* begin(std::uint16_t type, std::uint16_t flags, std::string about) {
    about_[sequence_] = std::move(about);
    return nftnl_nlmsg_build_hdr(here(), type, NFPROTO_INET, flags, sequence_++);
  }
  /// Keeps the message that has been built.
  void end() {
    const auto* message = reinterpret_cast<const nlmsghdr*>(scratch_.data());
    bytes_.insert(bytes_.end(), scratch_.data(), scratch_.data() + NLMSG_ALIGN(message->nlmsg_len));
  }

  /// `socket`: a bound nfnetlink socket.
  Result<> commit(int socket) {
    nftnl_batch_end(here(), sequence_++);
    end();
    make_room(socket);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (::sendto(socket, bytes_.data(), bytes_.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
                 sizeof kernel) < 0) {
      return last_error("send nftables transaction");
    }
    // The kernel has done its work when send returns: what it complains about is waiting to be
    // read, and if nothing is, all is done.
    for (;;) {
      std::array<char, 16384> answer{};
      const ssize_t size = ::recv(socket, answer.data(), answer.size(), MSG_DONTWAIT);
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
  char* here() { return scratch_.data(); }

  /// A transaction is one message to the kernel, however large: the socket must hold it.
  void make_room(int socket) const {
    const int room = static_cast<int>(bytes_.size() + scratch_.size());
    ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  }

  std::vector<char> bytes_;
  /// Lengths of attributes have sixteen bits: no message of ours is longer.
  std::vector<char> scratch_ = std::vector<char>(1U << 17U);
  std::uint32_t sequence_ = 1;
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
    case Hook::forward:
      return NF_INET_FORWARD;
    case Hook::output:
      return NF_INET_LOCAL_OUT;
  }
  return NF_INET_NUMHOOKS;
}

const char* type_name(ChainType type) {
  switch (type) {
    case ChainType::filter:
      return "filter";
    case ChainType::route:
      return "route";
    case ChainType::nat:
      return "nat";
  }
  return "";
}

/// The numbers of nft(8)'s data types, by which it knows how to print a set.
std::uint32_t key_type(Family family) {
  return family == Family::v4 ? 7 : 8;
}

std::uint32_t key_size(Family family) {
  return family == Family::v4 ? 4 : 16;
}

void put_set(Batch& batch, const Table& table, const Set& set, std::uint32_t id) {
  const SetPtr object(nftnl_set_alloc());
  nftnl_set_set_str(object.get(), NFTNL_SET_TABLE, table.name.c_str());
  nftnl_set_set_str(object.get(), NFTNL_SET_NAME, set.name.c_str());
  nftnl_set_set_u32(object.get(), NFTNL_SET_ID, id);
  nftnl_set_set_u32(object.get(), NFTNL_SET_FAMILY, NFPROTO_INET);
  nftnl_set_set_u32(object.get(), NFTNL_SET_KEY_TYPE, key_type(set.family));
  nftnl_set_set_u32(object.get(), NFTNL_SET_KEY_LEN, key_size(set.family));
  nftnl_set_set_u32(object.get(), NFTNL_SET_FLAGS, NFT_SET_INTERVAL);
  nlmsghdr* header = batch.begin(NFT_MSG_NEWSET, NLM_F_CREATE, "nftables: set " + set.name);
  nftnl_set_nlmsg_build_payload(header, object.get());
  batch.end();
}

void put_key(nlmsghdr* message, const IpAddr& address, std::uint32_t flags) {
  nlattr* element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
  if (flags != 0) mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htonl(flags));
  nlattr* key = mnl_attr_nest_start(message, NFTA_SET_ELEM_KEY);
  mnl_attr_put(message, NFTA_DATA_VALUE, address.size(), address.bytes().data());
  mnl_attr_nest_end(message, key);
  mnl_attr_nest_end(message, element);
}

/// An interval is two elements: its first address, and the first one behind it, which an interval
/// up to the last address of all does not have.
void put_elements(Batch& batch, const std::string& table, const Set& set) {
  constexpr std::size_t kAtOnce = 500;  // 80 bytes at most each: less than an attribute may have
  const std::vector<Interval> intervals = intervals_of(set.elements);
  for (std::size_t begin = 0; begin < intervals.size(); begin += kAtOnce) {
    nlmsghdr* message = batch.begin(
        NFT_MSG_NEWSETELEM, NLM_F_CREATE,
        "nftables: elements of set " + set.name + " from " + intervals[begin].text() + " on");
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, table.c_str());
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set.name.c_str());
    nlattr* list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
    const std::size_t end = std::min(intervals.size(), begin + kAtOnce);
    for (std::size_t i = begin; i < end; ++i) {
      put_key(message, intervals[i].first, 0);
      const auto behind = next(intervals[i].last);
      if (behind) put_key(message, *behind, NFT_SET_ELEM_INTERVAL_END);
    }
    mnl_attr_nest_end(message, list);
    batch.end();
  }
}

void put_chain(Batch& batch, const Table& table, const Chain& chain) {
  const ChainPtr object(nftnl_chain_alloc());
  nftnl_chain_set_str(object.get(), NFTNL_CHAIN_TABLE, table.name.c_str());
  nftnl_chain_set_str(object.get(), NFTNL_CHAIN_NAME, chain.name.c_str());
  if (chain.hook) {
    nftnl_chain_set_str(object.get(), NFTNL_CHAIN_TYPE, type_name(chain.type));
    nftnl_chain_set_u32(object.get(), NFTNL_CHAIN_HOOKNUM, hook_number(*chain.hook));
    nftnl_chain_set_u32(object.get(), NFTNL_CHAIN_PRIO, static_cast<std::uint32_t>(chain.priority));
    nftnl_chain_set_u32(object.get(), NFTNL_CHAIN_POLICY, NF_ACCEPT);
  }
  nlmsghdr* header = batch.begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE, "nftables: chain " + chain.name);
  nftnl_chain_nlmsg_build_payload(header, object.get());
  batch.end();
}

void put_rule(Batch& batch, const Table& table, const Chain& chain, const Rule& rule) {
  const RulePtr object(nftnl_rule_alloc());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_TABLE, table.name.c_str());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_CHAIN, chain.name.c_str());
  nftnl_rule_set_u32(object.get(), NFTNL_RULE_FAMILY, NFPROTO_INET);
  add_expressions(rule, object.get());
  std::string text;
  for (const Statement& statement : rule.statements) {
    text += (text.empty() ? "" : " ") + render(statement);
  }
  nlmsghdr* header = batch.begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
                                 "nftables: rule \"" + text + "\" in chain " + chain.name);
  nftnl_rule_nlmsg_build_payload(header, object.get());
  batch.end();
}

Result<Fd> open_socket() {
  const SocketPtr socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return last_error("open nfnetlink socket");
  }
  // Complaints come without a copy of what they are about, which may be megabytes.
  const int on = 1;
  mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, const_cast<int*>(&on), sizeof on);
  // A table's owner is the netlink port, which lives as long as any copy of the descriptor.
  Fd copy(::fcntl(mnl_socket_get_fd(socket.get()), F_DUPFD_CLOEXEC, 3));
  if (!copy) return last_error("dup");
  return copy;
}

/// The answer to a request for a list: calls `each` for every element.
Result<> receive_all(const Fd& socket, std::span<char> buffer, mnl_cb_t each, void* data,
                     const std::string& what) {
  for (;;) {
    const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return last_error(what);
    const int verdict = mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), 1, 0, each, data);
    if (verdict < 0) return last_error(what);
    if (verdict == MNL_CB_STOP) return {};
  }
}

/// What an earlier call left unread, because it was interrupted, is not the answer to this one.
void forget_unread(const Fd& socket) {
  std::array<char, 16384> stale{};
  while (::recv(socket.get(), stale.data(), stale.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace

Result<Fd> apply(const Table& table) {
  auto socket = open_socket();
  if (!socket) return socket;
  if (auto done = replace(*socket, table); !done) return done.error();
  return socket;
}

Result<> replace(const Fd& owner, const Table& table) {
  Batch batch;
  // Adding, deleting and adding again replaces a table whether it was there or not.
  put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  put_table(batch, table, NFT_MSG_DELTABLE, 0);
  put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  for (const std::string& counter : table.counters) put_counter(batch, table, counter);
  std::uint32_t id = 1;
  for (const Set& set : table.sets) {
    put_set(batch, table, set, id++);
    put_elements(batch, table.name, set);
  }
  // Regular chains first: rules may go to them.
  for (const bool regular : {true, false}) {
    for (const Chain& chain : table.chains) {
      if (chain.hook.has_value() == regular) continue;
      put_chain(batch, table, chain);
    }
  }
  for (const Chain& chain : table.chains) {
    for (const Rule& rule : chain.rules) put_rule(batch, table, chain, rule);
  }
  forget_unread(owner);
  return batch.commit(owner.get());
}

Result<> replace_elements(const Fd& owner, const std::string& table, const Set& set) {
  Batch batch;
  nlmsghdr* flush = batch.begin(NFT_MSG_DELSETELEM, 0, "nftables: flush set " + set.name);
  mnl_attr_put_strz(flush, NFTA_SET_ELEM_LIST_TABLE, table.c_str());
  mnl_attr_put_strz(flush, NFTA_SET_ELEM_LIST_SET, set.name.c_str());
  batch.end();
  put_elements(batch, table, set);
  forget_unread(owner);
  return batch.commit(owner.get());
}

Result<> remove(const std::string& table) {
  auto socket = open_socket();
  if (!socket) return socket.error();
  Batch batch;
  put_table(batch, {table}, NFT_MSG_DELTABLE, 0);
  auto done = batch.commit(socket->get());
  if (!done && done.error().code == ENOENT) return {};
  return done;
}

Result<std::vector<FoundTable>> list_tables() {
  auto socket = open_socket();
  if (!socket) return socket.error();
  std::array<char, 16384> buffer{};
  const nlmsghdr* request =
      nftnl_nlmsg_build_hdr(buffer.data(), NFT_MSG_GETTABLE, NFPROTO_UNSPEC, NLM_F_DUMP, 1);
  if (::send(socket->get(), request, request->nlmsg_len, 0) < 0) return last_error("nftables");
  std::vector<FoundTable> tables;
  const mnl_cb_t each = [](const nlmsghdr* header, void* data) {
    const TablePtr object(nftnl_table_alloc());
    if (nftnl_table_nlmsg_parse(header, object.get()) < 0) return MNL_CB_OK;
    static_cast<std::vector<FoundTable>*>(data)->push_back(
        {nftnl_table_get_str(object.get(), NFTNL_TABLE_NAME),
         (nftnl_table_get_u32(object.get(), NFTNL_TABLE_FLAGS) & NFT_TABLE_F_OWNER) != 0});
    return MNL_CB_OK;
  };
  if (auto done = receive_all(*socket, buffer, each, &tables, "nftables: list tables"); !done) {
    return done.error();
  }
  return tables;
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
  forget_unread(owner);
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
  if (auto done = receive_all(owner, buffer, each, &values, what); !done) return done.error();
  return values;
}

}  // namespace hairpin::nft
