#include <cerrno>

#include "app/diagnose.h"

namespace hairpin::app {

Diagnosis diagnose(const Error& error) {
  const std::string text = error.text();
  if (error.code == EACCES || error.code == EPERM) {
    return {kExitPermission, text + "; run as administrator"};
  }
  if (text.find("wintun.dll") != std::string::npos) return {kExitMissing, text};
  return {kExitFailure, text};
}

}  // namespace hairpin::app
