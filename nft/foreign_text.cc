#include <linux/netfilter.h>

#include "nft/foreign.h"
#include "nft/render.h"

namespace hairpin::nft {

namespace {

const char* family_name(std::uint8_t family) {
  if (family == NFPROTO_IPV4) return "ip";
  return family == NFPROTO_IPV6 ? "ip6" : "inet";
}

}  // namespace

std::string full_name(std::uint8_t family, const std::string& table, const std::string& chain) {
  return std::string(family_name(family)) + " " + table + " " + chain;
}

std::string render(const Opening& opening) {
  const FilterChain& chain = opening.chain;
  std::string text = "insert rule " + full_name(chain.family, chain.table, chain.name);
  for (const Statement& statement : opening.rule.statements) text += " " + render(statement);
  return text + " comment \"" + opening.comment + "\"";
}

}  // namespace hairpin::nft
