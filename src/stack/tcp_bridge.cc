#include "stack/tcp_bridge.h"

#include <algorithm>
#include <array>

#include "platform/stream.h"

namespace hairpin::stack {

namespace {

/// Pieces that are written at once.
constexpr std::size_t kPieces = 64;
/// Blocks that are read before the other flows of the worker have a turn.
constexpr int kRounds = 8;
/// Bytes: less is copied, so that its block can be used again at once.
constexpr std::size_t kCopied = 4096;
/// Bytes on their way from one end to the other, each way.
constexpr std::size_t kRoom = std::size_t{1} << 20;

}  // namespace

Result<DetachedStream> TcpBridge::open(Worker& worker, tcp::Stack& stack, tcp::Blocks& blocks,
                                       tcp::Connection& connection) {
  auto pair = platform::open_stream_pair(kRoom);
  if (!pair) return pair.error();
  auto ours = worker.watch(std::move(pair->first));
  if (!ours) return ours.error();
  DetachedStream other{std::move(pair->second), std::make_shared<Resets>()};
  const boost::intrusive_ptr<TcpBridge> bridge(
      new TcpBridge(stack, blocks, connection, std::move(*ours), other.resets));
  bridge->self_ = bridge;
  connection.set_user(*bridge);
  bridge->watch();
  bridge->wait(Wait::wait_read);
  return other;
}

TcpBridge::TcpBridge(tcp::Stack& stack, tcp::Blocks& blocks, tcp::Connection& connection,
                     Descriptor ours, std::shared_ptr<Resets> resets)
    : stack_(stack),
      blocks_(blocks),
      connection_(&connection),
      ours_(std::move(ours)),
      resets_(std::move(resets)) {}

void TcpBridge::push() {
  if (connection_ == nullptr || writes_ || up_ended_) return;
  std::array<std::span<const std::byte>, kPieces> pieces;
  while (const std::size_t count = connection_->unread(pieces)) {
    const auto sent = platform::send_pieces(ours_.native_handle(), std::span(pieces).first(count));
    if (!sent) {
      if (platform::would_block(sent.error())) return wait(Wait::wait_write);
      return break_off();  // nobody will ever read it: RST, as a kernel would
    }
    connection_->take(*sent);
  }
  if (!connection_->ended()) return;
  platform::shut_down_sending(ours_.native_handle());
  up_ended_ = true;
  end_if_done();
}

void TcpBridge::pull() {
  if (connection_ == nullptr || reads_ || down_ended_) return;
  const boost::intrusive_ptr<TcpBridge> keep(this);  // to the end of this, whatever ends in it
  tcp::Block block;
  for (int round = 0; connection_->room() != 0; ++round) {
    if (round == kRounds) {
      wait(Wait::wait_read);
      break;
    }
    if (!block) block = blocks_.take();
    const std::size_t room = std::min(connection_->room(), block->size());
    const auto got = platform::receive(ours_.native_handle(), std::span(*block).first(room));
    if (!got && platform::would_block(got.error())) {
      wait(Wait::wait_read);
      break;
    }
    if (!got || (*got == 0 && resets_->by_user)) {
      break_off();
      break;
    }
    if (*got == 0) {
      connection_->end();
      down_ended_ = true;
      if (platform::is_hung_up(ours_.native_handle())) {
        // By now: between the end of its stream and here the other end may have broken off.
        if (resets_->by_user) {
          break_off();
          break;
        }
        up_ended_ = true;
      }
      end_if_done();
      break;
    }
    if (*got <= kCopied) {
      connection_->send(std::span(*block).first(*got));
    } else {
      connection_->send(std::move(block), *got);
    }
  }
  if (block) blocks_.give_back(std::move(block));
}

void TcpBridge::wait(Wait::wait_type what) {
  bool& waits = what == Wait::wait_read ? reads_ : writes_;
  waits = true;
  ours_.async_wait(what,
                   [self = boost::intrusive_ptr(this), what](const boost::system::error_code& ec) {
                     (what == Wait::wait_read ? self->reads_ : self->writes_) = false;
                     if (ec || self->connection_ == nullptr) return;
                     tcp::Stack& stack = self->stack_;
                     if (what == Wait::wait_read) {
                       self->pull();
                     } else {
                       self->push();
                     }
                     stack.settle();
                   });
}

void TcpBridge::watch() {
  ours_.async_wait(Wait::wait_error,
                   [self = boost::intrusive_ptr(this)](const boost::system::error_code& ec) {
                     if (ec || self->connection_ == nullptr) return;
                     // The other end is closed. What it has written before is still to be read,
                     // unless it broke off.
                     if (!self->resets_->by_user) return;
                     tcp::Stack& stack = self->stack_;
                     self->break_off();
                     stack.settle();
                   });
}

void TcpBridge::end_if_done() {
  if (!up_ended_ || !down_ended_) return;
  connection_->release();
  close();
}

void TcpBridge::break_off() {
  connection_->reset();
  close();
}

void TcpBridge::gone() {
  resets_->by_remote = true;
  close();
}

void TcpBridge::close() {
  connection_ = nullptr;
  boost::system::error_code ignored;
  ours_.close(ignored);
  const boost::intrusive_ptr<TcpBridge> last = std::move(self_);
}

}  // namespace hairpin::stack
