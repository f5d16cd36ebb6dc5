// Files from servers, by HTTP/1.1 (RFC 9110, 9112), through an outbound.
#pragma once

#include <string>

#include "outbound/outbound.h"

namespace hairpin::outbound {

struct Fetched {
  bool changed = true;  ///< False: the file is still the one of `etag` (RFC 9110, 13.1.2).
  std::string etag;     ///< Empty: the server has none.
  std::string body;
};

/// What `url` leads to, over redirections, if there are few. A body of more than `max` bytes is an
/// error. `etag`: of what is had already; empty: nothing. The arguments live until then.
Task<Result<Fetched>> fetch(Worker& worker, Outbound& through, const config::Url& url,
                            const std::string& etag, std::size_t max);

}  // namespace hairpin::outbound
