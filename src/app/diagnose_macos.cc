#include <cerrno>

#include "app/diagnose.h"

namespace hairpin::app {

Diagnosis diagnose(const Error& error) {
  const std::string text = error.text();
  if (error.code == EACCES || error.code == EPERM) return {kExitPermission, text + "; run as root"};
  return {kExitFailure, text};
}

}  // namespace hairpin::app
