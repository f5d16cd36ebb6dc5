// Questions as HTTP requests (RFC 8484), over HTTP/2 (RFC 9113) by nghttp2.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "dns/upstream.h"

namespace hairpin::dns {

/// One connection for all questions, each a stream of its own, kept for a while.
class HttpsUpstream final : public Upstream {
 public:
  /// `remote.tls` offers "h2". `authority`: host and port as requests name them.
  HttpsUpstream(Worker& worker, Remote remote, std::string authority, std::string path,
                std::map<std::string, std::string> headers)
      : opener_(worker, std::move(remote)),
        worker_(worker),
        authority_(std::move(authority)),
        path_(std::move(path)),
        headers_(std::move(headers)) {}
  Task<Result<Bytes>> exchange(const Query& query, Clock::duration patience) override;

 private:
  struct Request;
  struct Link;
  Task<Result<std::shared_ptr<Link>>> connected(Clock::duration patience);
  static Task<> read(std::shared_ptr<Link> link);

  Opener opener_;
  Worker& worker_;
  std::string authority_;
  std::string path_;
  std::map<std::string, std::string> headers_;
  std::shared_ptr<Link> link_;
};

}  // namespace hairpin::dns
