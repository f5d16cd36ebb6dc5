#include "nft/foreign.h"

#include <libnftnl/udata.h>

#include <array>

#include "nft/expressions.h"
#include "nft/transaction.h"

namespace hairpin::nft {

namespace {

constexpr std::string_view kOurs = "hairpin";
constexpr std::array<std::uint8_t, 3> kFamilies{NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6};

std::string text_of(const char* text) {
  return text == nullptr ? "" : text;
}

/// The comment that nft(8) shows.
std::string comment_of(const nftnl_rule* rule) {
  std::uint32_t size = 0;
  const void* data = nftnl_rule_get_data(rule, NFTNL_RULE_USERDATA, &size);
  if (data == nullptr) return "";
  std::string comment;
  const auto* bytes = static_cast<const char*>(data);
  for (std::size_t at = 0; at + 2 <= size;) {  // type, length, value
    const auto type = static_cast<std::uint8_t>(bytes[at]);
    const auto length = static_cast<std::uint8_t>(bytes[at + 1]);
    if (at + 2 + length > size) break;
    if (type == NFTNL_UDATA_RULE_COMMENT && length > 0) comment.assign(bytes + at + 2, length - 1U);
    at += 2U + length;
  }
  return comment;
}

}  // namespace

Result<std::vector<FilterChain>> list_filter_chains() {
  const auto socket = open_socket();
  if (!socket) return socket.error();
  std::vector<FilterChain> chains;
  for (const std::uint8_t family : kFamilies) {
    auto listed = list(
        *socket, NFT_MSG_GETCHAIN, family, "nftables: list chains", [&](const nlmsghdr& answer) {
          const ChainPtr object(nftnl_chain_alloc());
          if (nftnl_chain_nlmsg_parse(&answer, object.get()) < 0) return;
          if (text_of(nftnl_chain_get_str(object.get(), NFTNL_CHAIN_TYPE)) != "filter") return;
          const auto hook = nftnl_chain_get_u32(object.get(), NFTNL_CHAIN_HOOKNUM);
          if (hook != NF_INET_LOCAL_IN && hook != NF_INET_FORWARD) return;
          FilterChain chain;
          chain.family = family;
          chain.table = text_of(nftnl_chain_get_str(object.get(), NFTNL_CHAIN_TABLE));
          chain.name = text_of(nftnl_chain_get_str(object.get(), NFTNL_CHAIN_NAME));
          chain.hook = hook == NF_INET_FORWARD ? Hook::forward : Hook::input;
          chain.drops = nftnl_chain_get_u32(object.get(), NFTNL_CHAIN_POLICY) == NF_DROP;
          if (!chain.table.starts_with(kOurs)) chains.push_back(std::move(chain));
        });
    if (!listed) return listed.error();
  }
  return chains;
}

Result<> insert(const Opening& opening) {
  const auto socket = open_socket();
  if (!socket) return socket.error();
  const FilterChain& chain = opening.chain;
  const RulePtr object(nftnl_rule_alloc());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_TABLE, chain.table.c_str());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_CHAIN, chain.name.c_str());
  nftnl_rule_set_u32(object.get(), NFTNL_RULE_FAMILY, chain.family);
  std::string data{static_cast<char>(NFTNL_UDATA_RULE_COMMENT),
                   static_cast<char>(opening.comment.size() + 1)};
  data += opening.comment;
  data += '\0';
  nftnl_rule_set_data(object.get(), NFTNL_RULE_USERDATA, data.data(),
                      static_cast<std::uint32_t>(data.size()));
  add_expressions(opening.rule, object.get());
  Batch batch(chain.family);
  nlmsghdr* header =
      batch.begin(NFT_MSG_NEWRULE, NLM_F_CREATE, "nftables: \"" + render(opening) + "\"");
  nftnl_rule_nlmsg_build_payload(header, object.get());
  batch.end();
  return batch.commit(*socket);
}

Result<std::vector<FoundOpening>> list_openings() {
  const auto socket = open_socket();
  if (!socket) return socket.error();
  std::vector<FoundOpening> found;
  for (const std::uint8_t family : kFamilies) {
    auto listed =
        list(*socket, NFT_MSG_GETRULE, family, "nftables: list rules", [&](const nlmsghdr& answer) {
          const RulePtr object(nftnl_rule_alloc());
          if (nftnl_rule_nlmsg_parse(&answer, object.get()) < 0) return;
          FoundOpening one;
          one.comment = comment_of(object.get());
          if (!one.comment.starts_with(kOpeningComment)) return;
          one.family = family;
          one.table = text_of(nftnl_rule_get_str(object.get(), NFTNL_RULE_TABLE));
          one.chain = text_of(nftnl_rule_get_str(object.get(), NFTNL_RULE_CHAIN));
          one.handle = nftnl_rule_get_u64(object.get(), NFTNL_RULE_HANDLE);
          found.push_back(std::move(one));
        });
    if (!listed) return listed.error();
  }
  return found;
}

Result<> remove(const FoundOpening& opening) {
  const auto socket = open_socket();
  if (!socket) return socket.error();
  const RulePtr object(nftnl_rule_alloc());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_TABLE, opening.table.c_str());
  nftnl_rule_set_str(object.get(), NFTNL_RULE_CHAIN, opening.chain.c_str());
  nftnl_rule_set_u64(object.get(), NFTNL_RULE_HANDLE, opening.handle);
  Batch batch(opening.family);
  nlmsghdr* header = batch.begin(
      NFT_MSG_DELRULE, 0,
      "nftables: our rule in " + full_name(opening.family, opening.table, opening.chain));
  nftnl_rule_nlmsg_build_payload(header, object.get());
  batch.end();
  auto done = batch.commit(*socket);
  if (!done && done.error().code == ENOENT) return {};
  return done;
}

}  // namespace hairpin::nft
