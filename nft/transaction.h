// One conversation with the kernel's nf_tables over nfnetlink (libmnl): a transaction, or a list.
// For this folder's *.cc files.
#pragma once

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

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::nft {

template <class T, void (*Free)(const T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using TablePtr = std::unique_ptr<nftnl_table, Freer<nftnl_table, nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Freer<nftnl_chain, nftnl_chain_free>>;
using ObjectPtr = std::unique_ptr<nftnl_obj, Freer<nftnl_obj, nftnl_obj_free>>;
using SetPtr = std::unique_ptr<nftnl_set, Freer<nftnl_set, nftnl_set_free>>;
using RulePtr = std::unique_ptr<nftnl_rule, Freer<nftnl_rule, nftnl_rule_free>>;

/// A bound nfnetlink socket of the calling thread's network namespace. It owns the tables that are
/// made through it with `flags owner`, as long as any copy of the descriptor is open.
Result<Fd> open_socket();

/// What an earlier call left unread, because it was interrupted, is not the answer to the next one.
void forget_unread(const Fd& socket);

/// Calls `each` for all objects of a kind (NFT_MSG_GET*), of one family (NFPROTO_*).
Result<> list(const Fd& socket, std::uint16_t type, std::uint8_t family, const std::string& what,
              const std::function<void(const nlmsghdr&)>& each);

/// Messages between a begin and an end, of which the kernel does all or nothing; and what each of
/// them is about, for the error of the one that it would not do.
class Batch {
 public:
  explicit Batch(std::uint8_t family = NFPROTO_INET);

  nlmsghdr* begin(std::uint16_t type, std::uint16_t flags, std::string about);
  /// Keeps the message that has been built.
  void end();

  /// `socket`: from open_socket.
  Result<> commit(const Fd& socket);

 private:
  char* here() { return scratch_.data(); }
  void make_room(int socket) const;

  std::uint8_t family_;
  std::vector<char> bytes_;
  /// Lengths of attributes have sixteen bits: no message of ours is longer.
  std::vector<char> scratch_ = std::vector<char>(1U << 17U);
  std::uint32_t sequence_ = 1;
  std::map<std::uint32_t, std::string> about_;
};

}  // namespace hairpin::nft
