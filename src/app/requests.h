// What a running hairpin is asked by others: one JSON object each way, over a socket whose name is
// its process. It is in the abstract namespace of unix(7), which belongs to the network namespace:
// nothing is left behind, however the program ends. Only root, and its own user, are answered.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::app {

/// Takes connections to process `process`, which is this one.
Result<Fd> open_requests(int process);

using Answer = std::function<nlohmann::json(const nlohmann::json& request)>;

/// The next who asks; EAGAIN: nobody. Whoever may not is refused, and is an error.
Result<Fd> accept_request(int listener);
/// Reads the request on a connection, and answers it: {"error": TEXT} when it is none.
void answer_request(int connection, const Answer& answer);

/// Asks another process. An answer with "error" is an Error.
Result<nlohmann::json> ask(int process, const nlohmann::json& request);

}  // namespace hairpin::app
