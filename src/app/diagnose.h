// What an error at start means for a person: one sentence that names what is missing and the cure,
// and the exit status that says which kind it is.
#pragma once

#include <string>

#include "base/result.h"

namespace hairpin::app {

/// sysexits.h where it has a code; hairpin(8), EXIT STATUS.
enum Exit : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,
  kExitMissing = 69,     ///< EX_UNAVAILABLE: the system lacks something.
  kExitPermission = 77,  ///< EX_NOPERM
  kExitConfig = 78,      ///< EX_CONFIG
  kExitCannotRun = 126,  ///< Of another program, as env(1) and the shells.
  kExitNotFound = 127,
};

struct Diagnosis {
  int status = kExitFailure;
  std::string text;
};

Diagnosis diagnose(const Error& error);

/// Says it on standard error, and returns the exit status.
int fail(const Error& error);

}  // namespace hairpin::app
