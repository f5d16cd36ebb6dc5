#include <cerrno>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "nft/apply.h"
#include "nft/plan.h"
#include "stack/user_link.h"

namespace hairpin::stack {

namespace {

/// A process that was killed a moment ago may still own the table of this name, although its device
/// is gone: the kernel refuses it to others as if they had no rights.
Result<Fd> apply_when_free(const nft::Table& table, bool handed) {
  constexpr auto kStep = std::chrono::milliseconds(10);
  constexpr int kSteps = 100;
  auto owner = nft::apply(table);
  for (int i = 0; i < kSteps && !owner && owner.error().code == EPERM && !handed; ++i) {
    std::this_thread::sleep_for(kStep);
    owner = nft::apply(table);
  }
  return owner;
}

/// The kernel, or this build, has none.
bool without_nftables(const Error& error) {
  return error.code == EOPNOTSUPP || error.code == EPROTONOSUPPORT;
}

}  // namespace

Result<> refuse_own(Link& link, const LinkOptions& options) {
  const bool handed = options.adopt_fd >= 0;
  nft::Table table;
  table.name = nft::table_name(link.name);
  table.chains.push_back(nft::plan_loop_guard(link.name, options.own_mark));
  auto owner = apply_when_free(table, handed);
  if (owner) {
    link.nft_owner = std::move(*owner);
  } else if (!handed && !without_nftables(owner.error())) {
    return owner.error();
  } else {
    // What is routed back to us is found out for each flow (flow/loop_guard.h), at a higher price.
    log::debug("no table against loops: {}", owner.error().text());
  }
  return {};
}

}  // namespace hairpin::stack
