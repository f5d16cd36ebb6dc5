#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "route/router.h"

namespace hairpin::app {

int match(const config::Config& config, const rule::Facts& facts) {
  for (const route::Step& step : route::explain(config, facts)) {
    std::printf("route.rules[%zu]: %s: %s\n", step.rule, step.reason.holds ? "yes" : "no",
                step.reason.text.c_str());
  }
  const route::Decision decision = route::Router(config).decide(facts);
  std::printf("%s%s\n",
              decision.rule ? "" : "no rule: ", route::describe(config, decision).c_str());
  return kExitOk;
}

}  // namespace hairpin::app
