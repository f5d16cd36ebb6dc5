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
  const route::Decision decision = route::decide(config, router, facts);
  std::printf("%s%s\n",
              decision.rule ? "" : "no rule: ", route::describe(config, decision).c_str());
  if (decision.action == config::Action::bypass) {
    const auto asks = router.asks_more(*decision.rule);
    if (asks) {
      std::printf("flow by flow: route.rules[%zu] asks for more than the destination\n", *asks);
    }
  }
  return kExitOk;
}

}  // namespace hairpin::app
