#include "app/diagnose.h"

#include <cerrno>

namespace hairpin::app {

namespace {

bool about(const Error& error, std::string_view what) {
  return error.what.find(what) != std::string::npos;
}

}  // namespace

Diagnosis diagnose(const Error& error) {
  const std::string text = error.text();
  const bool denied = error.code == EPERM || error.code == EACCES;
  if (about(error, "/dev/net/tun")) {
    if (denied) {
      return {kExitPermission, text + "; run as root, or give this user access to /dev/net/tun"};
    }
    return {kExitMissing,
            text +
                "; load the kernel module (modprobe tun), or pass the device to the container "
                "(--device /dev/net/tun)"};
  }
  if (about(error, "IPv6 is disabled")) return {kExitMissing, text};
  if (denied && about(error, "setns(")) {
    return {kExitPermission, text + "; CAP_SYS_ADMIN is needed: run as root, or use --link tun"};
  }
  if (about(error, "unshare(")) {
    if (denied || error.code == ENOSPC) {
      return {kExitPermission, text +
                                   "; run as root, or allow user namespaces (sysctl "
                                   "kernel.unprivileged_userns_clone=1, user.max_user_namespaces)"};
    }
    return {kExitMissing, text + "; this kernel has no network namespaces"};
  }
  if (about(error, "nftables") || about(error, "nfnetlink")) {
    if (denied) return {kExitPermission, text + "; CAP_NET_ADMIN is needed: run as root"};
    if (error.code == EPROTONOSUPPORT || error.code == EOPNOTSUPP || error.code == ENOENT ||
        error.code == EAFNOSUPPORT) {
      return {kExitMissing, text +
                                "; the kernel lacks nf_tables or its tproxy expression: load "
                                "nf_tables and nft_tproxy"};
    }
  }
  if (denied) return {kExitPermission, text + "; CAP_NET_ADMIN is needed: run as root"};
  return {kExitFailure, text};
}

}  // namespace hairpin::app
