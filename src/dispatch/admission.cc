#include "dispatch/admission.h"

namespace hairpin::dispatch {

void Admission::admit(DetachedStream client, const Flow& flow, std::optional<Prepared> prepared) {
  if (prepared) return dispatcher_.serve_prepared(std::move(client), std::move(*prepared), idle_);
  if (dispatcher_.is_loop(capture_, flow)) return client.reset_on_close();
  asio::co_spawn(worker_.executor(), dispatcher_.serve_tcp(std::move(client), flow, idle_),
                 asio::detached);
}

void Admission::admit(DetachedStream client, const Flow& flow) {
  std::optional<Prepared> prepared;
  if (prepared_.size() != 0) prepared = prepared_.take(FlowKey(flow));
  admit(std::move(client), flow, std::move(prepared));
}

}  // namespace hairpin::dispatch
