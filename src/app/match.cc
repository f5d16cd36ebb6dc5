#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "route/router.h"

namespace hairpin::app {

int match(const config::Config& config, const rule::Facts& facts) {
  for (const route::Step& step : route::explain(config, facts)) {
    const config::Action action = config.route.rules[step.rule].action;
    const bool goes_on = step.reason.holds && !config::is_final(action);
    std::printf("route.rules[%zu]: %s: %s%s\n", step.rule, step.reason.holds ? "yes" : "no",
                step.reason.text.c_str(),
                goes_on ? (", " + route::describe(config, {action, 0, step.rule})).c_str() : "");
  }
  const route::Router router(config);
  route::Decision decision = router.decide(facts);
  while (!config::is_final(decision.action)) decision = router.decide(facts, *decision.rule + 1);
  std::printf("%s%s\n",
              decision.rule ? "" : "no rule: ", route::describe(config, decision).c_str());
  return kExitOk;
}

}  // namespace hairpin::app
