#include "app/diagnose.h"

#include <cstdio>

namespace hairpin::app {

int fail(const Error& error) {
  const Diagnosis diagnosis = diagnose(error);
  std::fprintf(stderr, "hairpin: %s\n", diagnosis.text.c_str());
  return diagnosis.status;
}

}  // namespace hairpin::app
