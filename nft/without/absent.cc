// For a build without libnftnl (HAIRPIN_NFTABLES=OFF): plans and their text are as ever, the kernel
// is never asked.
#include <cerrno>

#include "nft/apply.h"
#include "nft/foreign.h"

namespace hairpin::nft {

namespace {

Error absent() {
  return Error{"nftables: this hairpin was built without (HAIRPIN_NFTABLES=OFF)", EOPNOTSUPP};
}

}  // namespace

Result<Fd> apply(const Table& /*table*/) {
  return absent();
}

Result<> replace(const Fd& /*owner*/, const Table& /*table*/) {
  return absent();
}

Result<> add(const Fd& /*owner*/, const std::string& /*table*/, const std::vector<Set>& /*sets*/) {
  return absent();
}

Result<> empty(const Fd& /*owner*/, const std::string& /*table*/,
               const std::vector<Set>& /*sets*/) {
  return absent();
}

Result<std::optional<QueueKind>> find_queue_kind() {
  return absent();
}

Result<> remove(const std::string& /*table*/) {
  return absent();
}

Result<std::vector<FoundTable>> list_tables() {
  return absent();
}

Result<std::vector<CounterValue>> read_counters(const Fd& /*owner*/, const std::string& /*table*/) {
  return absent();
}

Result<std::vector<FilterChain>> list_filter_chains() {
  return absent();
}

Result<> insert(const Opening& /*opening*/) {
  return absent();
}

Result<std::vector<FoundOpening>> list_openings() {
  return absent();
}

Result<> remove(const FoundOpening& /*opening*/) {
  return absent();
}

}  // namespace hairpin::nft
