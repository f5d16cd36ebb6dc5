#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "platform/privileges.h"

namespace hairpin::platform {

namespace {

bool has(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  return (sets[CAP_TO_INDEX(static_cast<unsigned>(capability))].effective &
          CAP_TO_MASK(static_cast<unsigned>(capability))) != 0;
}

}  // namespace

bool may_administer_network() {
  return has(CAP_NET_ADMIN);
}

bool may_administer_system() {
  return has(CAP_SYS_ADMIN);
}

Result<> drop_system_administration() {
  // Refused without CAP_SETPCAP. We run no other program that could gain it from there.
  (void)::prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return last_error("capget");
  auto& words = sets[CAP_TO_INDEX(CAP_SYS_ADMIN)];
  constexpr auto kKept = ~static_cast<__u32>(CAP_TO_MASK(CAP_SYS_ADMIN));
  words.effective &= kKept;
  words.permitted &= kKept;
  words.inheritable &= kKept;
  if (::syscall(SYS_capset, &header, sets.data()) != 0) return last_error("capset");
  return {};
}

}  // namespace hairpin::platform
