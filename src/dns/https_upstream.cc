#include "dns/https_upstream.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace hairpin::dns {

namespace {

constexpr auto kIdle = std::chrono::seconds(30);
constexpr auto kKeptPatience = std::chrono::seconds(3);

nghttp2_nv field(const std::string& name, const std::string& value) {
  // nghttp2 copies both, and does not write to them.
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A header stands once: the configuration's counts. "host" is what HTTP/2 calls ":authority".
void set_header(Headers& headers, const std::string& name, const std::string& value) {
  const auto known = std::ranges::find(headers, name == "host" ? ":authority" : name,
                                       &std::pair<std::string, std::string>::first);
  if (known == headers.end()) {
    headers.emplace_back(name, value);
  } else {
    known->second = value;
  }
}

}  // namespace

/// One question. Lives in the coroutine that waits.
struct HttpsUpstream::Request {
  Request(const Executor& executor, Bytes message)
      : question(std::move(message)), timer(executor) {}

  Bytes question;
  std::size_t sent = 0;
  std::string status;
  Bytes answer;
  bool done = false;
  Timer timer;
};

/// One connection, and its session.
struct HttpsUpstream::Link {
  explicit Link(std::shared_ptr<MessageStream> over) : stream(std::move(over)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_client_new(&session, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~Link() { nghttp2_session_del(session); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Null where the stream is of somebody who has gone.
  static Request* request_of(nghttp2_session* session, std::int32_t id) {
    return static_cast<Request*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame,
                       const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                       std::size_t value_size, std::uint8_t /*flags*/, void* /*link*/) {
    Request* request = request_of(session, frame->hd.stream_id);
    const std::string_view text(reinterpret_cast<const char*>(name), name_size);
    if (request != nullptr && text == ":status") {
      request->status.assign(reinterpret_cast<const char*>(value), value_size);
    }
    return 0;
  }
  static int on_data(nghttp2_session* session, std::uint8_t /*flags*/, std::int32_t id,
                     const std::uint8_t* data, std::size_t size, void* /*link*/) {
    Request* request = request_of(session, id);
    if (request == nullptr) return 0;
    if (request->answer.size() + size > kMaxMessage) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
      return 0;
    }
    request->answer.insert(request->answer.end(), data, data + size);
    return 0;
  }
  static int on_close(nghttp2_session* session, std::int32_t id, std::uint32_t code,
                      void* /*link*/) {
    Request* request = request_of(session, id);
    if (request == nullptr) return 0;
    request->done = code == NGHTTP2_NO_ERROR;
    request->timer.cancel();
    return 0;
  }
  static ssize_t read_body(nghttp2_session* /*session*/, std::int32_t /*id*/, std::uint8_t* out,
                           std::size_t room, std::uint32_t* flags, nghttp2_data_source* source,
                           void* /*link*/) {
    auto& request = *static_cast<Request*>(source->ptr);
    const std::size_t size = std::min(room, request.question.size() - request.sent);
    std::memcpy(out, request.question.data() + request.sent, size);
    request.sent += size;
    if (request.sent == request.question.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }

  /// What the session has to say.
  void flush() {
    const std::uint8_t* data = nullptr;
    for (;;) {
      const ssize_t size = nghttp2_session_mem_send(session, &data);
      if (size <= 0) return;
      stream->send_bytes({data, static_cast<std::size_t>(size)});
    }
  }
  bool take(View bytes) {
    const ssize_t taken = nghttp2_session_mem_recv(session, bytes.data(), bytes.size());
    flush();
    return taken >= 0;
  }
  bool usable() const { return !broken && nghttp2_session_check_request_allowed(session) != 0; }

  std::shared_ptr<MessageStream> stream;
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, Request*> requests;
  Clock::time_point heard = Clock::now();  ///< Anything.
  bool broken = false;
};

Task<> HttpsUpstream::read(std::shared_ptr<Link> link) {
  for (;;) {
    const auto bytes = co_await link->stream->receive_bytes(kIdle);
    if (bytes) {
      link->heard = Clock::now();
      if (!link->take(*bytes)) break;
      continue;
    }
    if (bytes.error().code != ETIMEDOUT || link->requests.empty()) break;
  }
  link->broken = true;
  link->stream->close();
  for (const auto& [id, request] : link->requests) request->timer.cancel();
}

Task<Result<std::shared_ptr<HttpsUpstream::Link>>> HttpsUpstream::connected(
    Clock::duration patience) {
  if (link_ && link_->usable()) co_return link_;
  const auto self = shared_from_this();
  auto opened = co_await opener_.open(patience);
  if (!opened) co_return opened.error();
  if (*opened) {
    if ((*opened)->alpn != "h2") {
      co_return Error{opener_.target().text() + " speaks no HTTP/2", EPROTO};
    }
    link_ = std::make_shared<Link>(std::move((*opened)->stream));
    asio::co_spawn(worker_.executor(), read(link_), asio::detached);
  }
  if (link_ && link_->usable()) co_return link_;
  co_return Error{"connect " + opener_.target().text(), ECONNABORTED};
}

Task<Result<Bytes>> HttpsUpstream::exchange(const Query& query, Clock::duration patience) {
  const auto self = shared_from_this();
  const auto until = Clock::now() + patience;
  // The number 0: equal questions are equal requests (RFC 8484, section 4.1).
  Bytes message = write_query(query, 0, true);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool kept = attempt == 0 && link_ && link_->usable();
    const auto link = co_await connected(until - Clock::now());
    if (!link) co_return link.error();
    const std::shared_ptr<Link> to = *link;
    Request request(worker_.executor(), message);

    const std::string length = std::to_string(message.size());
    const std::string type = "application/dns-message";
    Headers named{{":method", "POST"},       {":scheme", "https"}, {":authority", authority_},
                  {":path", path_},          {"accept", type},     {"content-type", type},
                  {"content-length", length}};
    for (const auto& [name, value] : headers_) set_header(named, name, value);
    std::vector<nghttp2_nv> fields;
    for (const auto& [name, value] : named) fields.push_back(field(name, value));
    nghttp2_data_provider body{};
    body.source.ptr = &request;
    body.read_callback = Link::read_body;
    const std::int32_t id =
        nghttp2_submit_request(to->session, nullptr, fields.data(), fields.size(), &body, &request);
    if (id < 0) co_return Error{std::string("HTTP/2: ") + nghttp2_strerror(id)};
    to->requests[id] = &request;
    to->flush();
    const auto sent = Clock::now();
    request.timer.expires_at(kept ? std::min<Clock::time_point>(until, sent + kKeptPatience)
                                  : until);
    if (!to->broken && !request.done) (void)co_await request.timer.async_wait(kAsTuple);
    to->requests.erase(id);
    if (!request.done && !to->broken) {
      nghttp2_session_set_stream_user_data(to->session, id, nullptr);
      nghttp2_submit_rst_stream(to->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
      to->flush();
    }
    if (request.done) {
      if (request.status != "200") {
        co_return Error{opener_.target().text() + " answers with HTTP status " + request.status};
      }
      if (!answers(request.answer, query.question)) {
        co_return Error{opener_.target().text() + " answers another question"};
      }
      co_return std::move(request.answer);
    }
    if (!to->broken && to->heard < sent) {
      to->broken = true;
      to->stream->close();
    }
    if (!kept) break;
  }
  if (Clock::now() >= until) co_return Error{"ask " + opener_.target().text(), ETIMEDOUT};
  co_return Error{opener_.target().text() + " closed the connection"};
}

}  // namespace hairpin::dns
