#include "nft/apply.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "base/interval.h"
#include "nft/expressions.h"
#include "nft/render.h"
#include "nft/transaction.h"

namespace hairpin::nft {

namespace {

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

/// The numbers of nft(8)'s data types, by which it knows how to print a set.
std::uint32_t key_type(const Set& set) {
  constexpr unsigned kBits = 6;  // of a type among several
  constexpr std::uint32_t kProtocol = 12;
  constexpr std::uint32_t kService = 13;
  const std::uint32_t address = set.family == Family::v4 ? 7 : 8;
  if (set.key == Set::Key::addresses) return address;
  return (address << kBits | kProtocol) << kBits | kService;
}

std::uint32_t key_size(const Set& set) {
  const std::uint32_t address = set.family == Family::v4 ? 4 : 16;
  return set.key == Set::Key::addresses ? address : address + 8;  // each part fills a register
}

void put_set(Batch& batch, const Table& table, const Set& set, std::uint32_t id) {
  const SetPtr object(nftnl_set_alloc());
  nftnl_set_set_str(object.get(), NFTNL_SET_TABLE, table.name.c_str());
  nftnl_set_set_str(object.get(), NFTNL_SET_NAME, set.name.c_str());
  nftnl_set_set_u32(object.get(), NFTNL_SET_ID, id);
  nftnl_set_set_u32(object.get(), NFTNL_SET_FAMILY, NFPROTO_INET);
  nftnl_set_set_u32(object.get(), NFTNL_SET_KEY_TYPE, key_type(set));
  nftnl_set_set_u32(object.get(), NFTNL_SET_KEY_LEN, key_size(set));
  nftnl_set_set_u32(object.get(), NFTNL_SET_FLAGS,
                    set.key == Set::Key::addresses ? NFT_SET_INTERVAL : 0);
  nlmsghdr* header = batch.begin(NFT_MSG_NEWSET, NLM_F_CREATE, "nftables: set " + set.name);
  nftnl_set_nlmsg_build_payload(header, object.get());
  batch.end();
}

void put_key(nlmsghdr* message, std::span<const std::uint8_t> bytes, std::uint32_t flags) {
  nlattr* element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
  if (flags != 0) mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htonl(flags));
  nlattr* key = mnl_attr_nest_start(message, NFTA_SET_ELEM_KEY);
  mnl_attr_put(message, NFTA_DATA_VALUE, bytes.size(), bytes.data());
  mnl_attr_nest_end(message, key);
  mnl_attr_nest_end(message, element);
}

std::span<const std::uint8_t> bytes_of(const IpAddr& address) {
  return {address.bytes().data(), address.size()};
}

/// An interval is two elements: its first address, and the first one behind it, which an interval
/// up to the last address of all does not have.
void put_element(nlmsghdr* message, const Interval& interval) {
  put_key(message, bytes_of(interval.first), 0);
  const auto behind = next(interval.last);
  if (behind) put_key(message, bytes_of(*behind), NFT_SET_ELEM_INTERVAL_END);
}

/// As the registers hold it: what does not fill one is followed by zeros.
void put_element(nlmsghdr* message, const SetEndpoint& element) {
  std::array<std::uint8_t, 24> key{};
  const auto address = bytes_of(element.endpoint.address);
  auto at = std::ranges::copy(address, key.begin()).out;
  *at = element.protocol;
  at += 4;
  *at++ = static_cast<std::uint8_t>(element.endpoint.port >> 8U);
  *at = static_cast<std::uint8_t>(element.endpoint.port);
  put_key(message, std::span(key).first(address.size() + 8), 0);
}

std::string text_of(const Interval& interval) {
  return interval.text();
}
std::string text_of(const SetEndpoint& element) {
  return element.endpoint.text();
}

nlmsghdr* begin_elements(Batch& batch, std::uint16_t type, std::uint16_t flags,
                         const std::string& table, const std::string& set, std::string about) {
  nlmsghdr* message = batch.begin(type, flags, std::move(about));
  mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, table.c_str());
  mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set.c_str());
  return message;
}

template <class Element>
void put_elements(Batch& batch, const std::string& table, const std::string& set,
                  const std::vector<Element>& elements) {
  constexpr std::size_t kAtOnce = 500;  // 80 bytes at most each: less than an attribute may have
  for (std::size_t begin = 0; begin < elements.size(); begin += kAtOnce) {
    nlmsghdr* message = begin_elements(
        batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, set,
        "nftables: elements of set " + set + " from " + text_of(elements[begin]) + " on");
    nlattr* list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
    const std::size_t end = std::min(elements.size(), begin + kAtOnce);
    for (std::size_t i = begin; i < end; ++i) put_element(message, elements[i]);
    mnl_attr_nest_end(message, list);
    batch.end();
  }
}

void put_chain(Batch& batch, const Table& table, const Chain& chain) {
  const ChainPtr object(nftnl_chain_alloc());
  nftnl_chain_set_str(object.get(), NFTNL_CHAIN_TABLE, table.name.c_str());
  nftnl_chain_set_str(object.get(), NFTNL_CHAIN_NAME, chain.name.c_str());
  if (chain.hook) {
    nftnl_chain_set_str(object.get(), NFTNL_CHAIN_TYPE, name_of(chain.type));
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
    put_elements(batch, table.name, set.name, set.elements);
    put_elements(batch, table.name, set.name, set.endpoints);
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
  return batch.commit(owner);
}

Result<> add(const Fd& owner, const std::string& table, const std::vector<Set>& sets) {
  Batch batch;
  for (const Set& set : sets) put_elements(batch, table, set.name, set.endpoints);
  return batch.commit(owner);
}

Result<> empty(const Fd& owner, const std::string& table, const std::vector<Set>& sets) {
  Batch batch;
  for (const Set& set : sets) {
    begin_elements(batch, NFT_MSG_DELSETELEM, 0, table, set.name,
                   "nftables: empty set " + set.name);
    batch.end();
  }
  return batch.commit(owner);
}

Result<std::optional<QueueKind>> find_queue_kind() {
  for (const QueueKind kind : {QueueKind::native, QueueKind::compat}) {
    const Rule rule{{Queue{0, 1, kind}}};
    // No packet comes to a chain without a hook. The number keeps several that try apart.
    const auto tried = apply({"hairpin-probe-" + std::to_string(::getpid()),
                              true,
                              {{"probe", std::nullopt, 0, {rule}}}});
    if (tried) return std::optional(kind);
    if (tried.error().code != ENOENT) return tried.error();
  }
  return std::optional<QueueKind>();
}

Result<> remove(const std::string& table) {
  auto socket = open_socket();
  if (!socket) return socket.error();
  Batch batch;
  put_table(batch, {table}, NFT_MSG_DELTABLE, 0);
  auto done = batch.commit(*socket);
  if (!done && done.error().code == ENOENT) return {};
  return done;
}

Result<std::vector<FoundTable>> list_tables() {
  const auto socket = open_socket();
  if (!socket) return socket.error();
  std::vector<FoundTable> tables;
  auto listed = list(*socket, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, "nftables: list tables",
                     [&tables](const nlmsghdr& answer) {
                       const TablePtr object(nftnl_table_alloc());
                       if (nftnl_table_nlmsg_parse(&answer, object.get()) < 0) return;
                       const auto flags = nftnl_table_get_u32(object.get(), NFTNL_TABLE_FLAGS);
                       tables.push_back({nftnl_table_get_str(object.get(), NFTNL_TABLE_NAME),
                                         (flags & NFT_TABLE_F_OWNER) != 0});
                     });
  if (!listed) return listed.error();
  return tables;
}

Result<std::vector<CounterValue>> read_counters(const Fd& owner, const std::string& table) {
  std::vector<CounterValue> values;
  auto listed = list(owner, NFT_MSG_GETOBJ, NFPROTO_INET, "nftables: counters of table " + table,
                     [&](const nlmsghdr& answer) {
                       const ObjectPtr object(nftnl_obj_alloc());
                       if (nftnl_obj_nlmsg_parse(&answer, object.get()) < 0) return;
                       if (nftnl_obj_get_u32(object.get(), NFTNL_OBJ_TYPE) != NFT_OBJECT_COUNTER ||
                           nftnl_obj_get_str(object.get(), NFTNL_OBJ_TABLE) != table) {
                         return;
                       }
                       values.push_back({nftnl_obj_get_str(object.get(), NFTNL_OBJ_NAME),
                                         nftnl_obj_get_u64(object.get(), NFTNL_OBJ_CTR_PKTS)});
                     });
  if (!listed) return listed.error();
  return values;
}

}  // namespace hairpin::nft
