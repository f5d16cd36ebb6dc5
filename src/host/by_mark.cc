#include "host/plan.h"

namespace hairpin::host {

bool by_mark(const config::AutoRoute& wanted) {
  return wanted.redirect || !wanted.include_cgroup.empty() || !wanted.exclude_cgroup.empty() ||
         !wanted.route_address_set.empty() || !wanted.route_exclude_address_set.empty() ||
         wanted.bypasses;
}

}  // namespace hairpin::host
