#include <algorithm>
#include <cstring>
#include <utility>

#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include "tcp/convert.h"
#include "tcp/stack.h"

namespace hairpin::tcp {

namespace {

/// Bytes: the largest that tcp_write and tcp_recved count.
constexpr std::size_t kCounted = 65535;
/// Pieces of a segment that lwIP may need for one `send`, and some more for what it adds itself.
constexpr std::size_t kPiecesOfSend = 16;

/// Bytes that are sent at a time while memory is scarce.
constexpr std::size_t kScarce = 4096;

}  // namespace

/// lwIP's callbacks. They take notes only: neither is a connection ended within one, which lwIP
/// would have to be told of, nor does a user act.
struct Connection::Callbacks {
  static err_t received(void* self, tcp_pcb*, pbuf* data, err_t) {
    static_cast<Connection*>(self)->received(data);
    return ERR_OK;
  }
  static err_t sent(void* self, tcp_pcb*, u16_t bytes) {
    static_cast<Connection*>(self)->acknowledged(bytes);
    return ERR_OK;
  }
  /// lwIP's own part of the connection exists no more.
  static void over(void* self, err_t why) {
    auto& connection = *static_cast<Connection*>(self);
    connection.pcb_ = nullptr;
    // ERR_CLSD: both sides have said all, and know it.
    connection.lost_ = why != ERR_CLSD;
    connection.note();
  }
};

Connection::Connection(Stack& stack, tcp_pcb* pcb)
    : stack_(stack),
      pcb_(pcb),
      client_{from_lwip(pcb->remote_ip), pcb->remote_port},
      destination_{from_lwip(pcb->local_ip), pcb->local_port} {
  tcp_arg(pcb, this);
  tcp_recv(pcb, &Callbacks::received);
  tcp_sent(pcb, &Callbacks::sent);
  tcp_err(pcb, &Callbacks::over);
  tcp_nagle_disable(pcb);
}

Connection::~Connection() {
  if (pcb_ != nullptr) part();
  for (pbuf* data : unread_) pbuf_free(data);
  for (Sent& sent : sent_) {
    if (sent.block) stack_.blocks_.give_back(std::move(sent.block));
  }
}

void Connection::note() {
  if (std::exchange(noted_, true)) return;
  stack_.noted_.push_back(this);
}

void Connection::received(pbuf* data) {
  if (user_ == nullptr && data != nullptr) {
    // Who was to have it has gone: RST, as a kernel would.
    pbuf_free(data);
    broken_ = true;
  } else if (data == nullptr) {
    said_all_ = true;
  } else {
    unread_.push_back(data);
    unread_size_ += data->tot_len;
  }
  fresh_data_ = true;
  note();
}

void Connection::acknowledged(std::size_t bytes) {
  acknowledged_ += bytes;  // a FIN is counted, too
  auto done = sent_.begin();
  for (; done != sent_.end() && acknowledged_ >= done->size; ++done) {
    acknowledged_ -= done->size;
    if (done->block) stack_.blocks_.give_back(std::move(done->block));
  }
  sent_.erase(sent_.begin(), done);
  if (sent_.empty()) acknowledged_ = 0;
  fresh_room_ = true;
  note();
}

std::size_t Connection::unread(std::span<std::span<const std::byte>> pieces) const {
  std::size_t count = 0;
  std::size_t skip = taken_;
  for (const pbuf* data : unread_) {
    for (; data != nullptr && count < pieces.size(); data = data->next) {
      const std::size_t skipped = std::min<std::size_t>(skip, data->len);
      skip -= skipped;
      if (skipped == data->len) continue;
      pieces[count++] = std::as_bytes(std::span(static_cast<const char*>(data->payload), data->len))
                            .subspan(skipped);
    }
  }
  return count;
}

void Connection::take(std::size_t bytes) {
  to_announce_ += bytes;
  unread_size_ -= bytes;
  taken_ += bytes;
  auto done = unread_.begin();
  for (; done != unread_.end() && taken_ >= (*done)->tot_len; ++done) {
    taken_ -= (*done)->tot_len;
    pbuf_free(*done);
  }
  unread_.erase(unread_.begin(), done);
  note();
}

std::size_t Connection::room() const {
  if (pcb_ == nullptr || pcb_->snd_queuelen + kPiecesOfSend > TCP_SND_QUEUELEN) return 0;
  const std::size_t room = std::min<std::size_t>(pcb_->snd_buf, kCounted);
  if (!stack_.blocks_.scarce()) return room;
  // Somebody always has something on its way, whose acknowledgement goes on from here.
  return sent_.empty() ? std::min(room, kScarce) : 0;
}

void Connection::send(Block block, std::size_t size) {
  if (pcb_ == nullptr) return stack_.blocks_.give_back(std::move(block));
  if (tcp_write(pcb_, block->data(), static_cast<u16_t>(size), 0) != ERR_OK) failed();
  sent(std::move(block), size);
}

void Connection::send(std::span<const std::byte> bytes) {
  if (pcb_ == nullptr) return;
  const auto size = static_cast<u16_t>(bytes.size());
  if (tcp_write(pcb_, bytes.data(), size, TCP_WRITE_FLAG_COPY) != ERR_OK) failed();
  sent(nullptr, bytes.size());
}

void Connection::sent(Block block, std::size_t size) {
  note();
  if (!block && !sent_.empty() && !sent_.back().block) {
    sent_.back().size += size;
  } else {
    sent_.push_back({std::move(block), size});
  }
}

void Connection::failed() {
  // Out of memory. The client must not take what follows for what was to come now.
  lost_ = broken_ = true;
}

void Connection::end() {
  if (pcb_ == nullptr) return;
  (void)tcp_shutdown(pcb_, 0, 1);
  note();
}

void Connection::release() {
  if (pcb_ != nullptr && !unread_.empty()) return reset();  // RFC 2525, 2.17
  end();
  user_ = nullptr;
  note();
  if (pcb_ != nullptr && sent_.empty()) part();
}

void Connection::reset() {
  user_ = nullptr;
  broken_ = true;
  note();
}

void Connection::part() {
  tcp_arg(pcb_, nullptr);
  tcp_recv(pcb_, nullptr);
  tcp_sent(pcb_, nullptr);
  tcp_err(pcb_, nullptr);
  // What still comes is answered with RST, and a client that never ends is not waited for.
  tcp_set_flags(pcb_, TF_RXCLOSED);
  pcb_ = nullptr;
}

void Connection::settle() {
  noted_ = false;
  if (broken_ && pcb_ != nullptr) {
    tcp_pcb* pcb = pcb_;
    part();
    Stack::abort(pcb);
  }
  // lwIP keeps what has ended both ways for a while, and then drops it without a word. All that it
  // had to tell of it has been told in this turn.
  if (pcb_ != nullptr && pcb_->state == TIME_WAIT) part();
  if (user_ != nullptr && lost_) {
    std::exchange(user_, nullptr)->gone();
    return;
  }
  if (user_ != nullptr && std::exchange(fresh_data_, false)) user_->readable();
  if (user_ != nullptr && std::exchange(fresh_room_, false)) user_->writable();
  if (pcb_ == nullptr) return;
  while (to_announce_ != 0) {
    const std::size_t bytes = std::min(to_announce_, kCounted);
    to_announce_ -= bytes;
    tcp_recved(pcb_, static_cast<u16_t>(bytes));
  }
  // A client that waits for room hears of it as soon as there is a quarter of the window. lwIP
  // would wait for more, which is a quarter of its largest window, or for the client to ask.
  const u32_t unknown = pcb_->rcv_nxt + pcb_->rcv_ann_wnd - pcb_->rcv_ann_right_edge;
  if (unknown >= stack_.window() / 4) tcp_ack_now(pcb_);
  // Nothing will come in this turn that the acknowledgement could go with.
  if ((pcb_->flags & TF_ACK_DELAY) != 0) tcp_ack_now(pcb_);
  tcp_output(pcb_);
}

}  // namespace hairpin::tcp
