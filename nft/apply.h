// A table into the kernel, in one transaction: all of it or nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nft/ruleset.h"

namespace hairpin::nft {

/// Loads `table` into the network namespace of the calling thread. A table of that name that is
/// there already and is ours is replaced. Returns the socket that owns it: an owned table vanishes
/// when the last copy of that descriptor is closed. An error names the rule that was refused.
/// Errors: EPERM (CAP_NET_ADMIN), EPROTONOSUPPORT or EOPNOTSUPP (no nf_tables), EBUSY (another
/// process owns a table of that name).
Result<Fd> apply(const Table& table);

/// The same through a socket that `apply` has returned, which goes on owning the table.
Result<> replace(const Fd& owner, const Table& table);

/// Adds the endpoints of `sets` to a table's sets of the same names. What is there already is no
/// error.
Result<> add(const Fd& owner, const std::string& table, const std::vector<Set>& sets);

/// Takes all elements out of a table's sets of these names.
Result<> empty(const Fd& owner, const std::string& table, const std::vector<Set>& sets);

/// How this kernel can be told to queue packets; nothing: in no way. Tried out in a table of its
/// own that is gone afterwards.
Result<std::optional<QueueKind>> find_queue_kind();

/// Deletes a table of family inet that nobody owns. One that is not there is no error. EPERM or
/// EBUSY: it has an owner.
Result<> remove(const std::string& table);

struct FoundTable {
  std::string name;
  bool owned = false;
};

/// All tables, of every family.
Result<std::vector<FoundTable>> list_tables();

struct CounterValue {
  std::string name;
  std::uint64_t packets = 0;
};

/// The named counters of a table that `apply` has loaded. `owner` is what it returned.
Result<std::vector<CounterValue>> read_counters(const Fd& owner, const std::string& table);

}  // namespace hairpin::nft
