// TCP in user space: lwIP, as the other end of whatever clients connect to.
//
// How it works
//
//   device ──► input() ──► lwIP ──► Connection ◄──► its user
//          ◄── send()  ◄──       ◄──
//
// lwIP is a host with addresses and listeners; here it has to be every host there is. So before it
// is given a packet, its device is given the packet's destination as its address, and its one
// listener the packet's port: what it compares them with is always right. Packets stay as they
// are, none is rewritten, and no listener is opened for a port. (Both are fields of public
// structures. The functions that set them would end all connections that have another address.)
//
// Nothing is copied that is large: a packet's memory is handed to lwIP and from there to the
// connection's user; what a user sends is referred to until it is acknowledged.
//
// Callbacks of lwIP only take notes. Users are called by `settle`, behind a turn's packets: one
// call, one acknowledgement and one window for all that a connection has got in the turn.
//
// lwIP has global state: all stacks of a process belong to one thread.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/address.h"

struct netif;
struct pbuf;
struct tcp_pcb;
struct tcp_pcb_listen;

namespace hairpin::tcp {

/// Bytes: the largest packet, what may be wanted in front of it, and room that lets a read show
/// that a packet is too large.
inline constexpr std::size_t kHeadroom = 96;
inline constexpr std::size_t kBlock = kHeadroom + 65536;

/// Memory for one packet, or for what a user sends. Blocks that are given back are used again.
class Blocks {
 public:
  using Block = std::array<std::byte, kBlock>;

  /// `limit`: bytes that all may take, about; 0: none.
  explicit Blocks(std::size_t limit = 0) : limit_(limit) {}
  std::unique_ptr<Block> take();
  void give_back(std::unique_ptr<Block> block);
  /// That are with somebody.
  std::size_t used() const { return used_; }

  /// Of packets that are held without a block.
  void hold(std::size_t bytes) { held_ += bytes; }
  void let_go(std::size_t bytes) { held_ -= bytes; }
  /// Nothing more should be held.
  bool scarce() const { return limit_ != 0 && used_ * kBlock + held_ > limit_; }

 private:
  /// Kept for the next.
  std::size_t idle_limit() const;

  std::size_t limit_;
  std::vector<std::unique_ptr<Block>> idle_;
  std::size_t used_ = 0;
  std::size_t held_ = 0;
};
using Block = std::unique_ptr<Blocks::Block>;

class Stack;

/// A client's connection. Belongs to its stack.
class Connection : public boost::intrusive::list_base_hook<> {
 public:
  /// All are called from Stack::settle.
  class User {
   public:
    virtual ~User() = default;
    /// There is more to take, or the client has said all.
    virtual void readable() = 0;
    /// There is room again.
    virtual void writable() = 0;
    /// The client has reset the connection, or does not answer any more. It does not exist any
    /// more.
    virtual void gone() = 0;
  };

  Connection(Stack& stack, tcp_pcb* pcb);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const Endpoint& client() const { return client_; }
  const Endpoint& destination() const { return destination_; }
  /// `user` must outlive its part in the connection: until gone(), `release` or `reset`.
  void set_user(User& user) { user_ = &user; }

  /// What the client has sent and nobody has taken: fills `pieces` and returns how many there are.
  /// Valid until `take`.
  std::size_t unread(std::span<std::span<const std::byte>> pieces) const;
  void take(std::size_t bytes);
  /// Bytes of it.
  std::size_t unread_size() const { return unread_size_; }
  /// The client has said all, and all has been taken.
  bool ended() const { return said_all_ && unread_.empty(); }

  /// Bytes that may be sent now.
  std::size_t room() const;
  /// Requires: size <= room(), and size > 0. The first of the two keeps the block until the client
  /// has acknowledged it.
  void send(Block block, std::size_t size);
  void send(std::span<const std::byte> bytes);
  /// Nothing more will be sent.
  void end();

  /// The user has done its part: what was sent still arrives. Not to be used any more.
  void release();
  /// RST. Not to be used any more.
  void reset();

 private:
  friend class Stack;
  struct Callbacks;

  void note();
  void settle();
  void received(pbuf* data);
  void acknowledged(std::size_t bytes);
  void sent(Block block, std::size_t size);
  void failed();
  /// From now on lwIP goes on without us.
  void part();
  /// Whether nobody needs it any more.
  bool is_over() const { return user_ == nullptr && (pcb_ == nullptr || sent_.empty()); }

  Stack& stack_;
  tcp_pcb* pcb_;  ///< Null: lwIP has none any more.
  Endpoint client_;
  Endpoint destination_;
  User* user_ = nullptr;
  std::vector<pbuf*> unread_;
  std::size_t taken_ = 0;        ///< Bytes of the first of them.
  std::size_t unread_size_ = 0;  ///< Bytes of all that are not taken.
  std::size_t to_announce_ = 0;  ///< Bytes that were taken, which lwIP has not been told.
  /// Sent, and not acknowledged. The block is null where lwIP has a copy.
  struct Sent {
    Block block;
    std::size_t size;
  };
  std::vector<Sent> sent_;
  std::size_t acknowledged_ = 0;  ///< Bytes of the first of them.
  bool said_all_ = false;         ///< The client has.
  bool lost_ = false;             ///< Reset, or given up, by the client or lwIP.
  bool broken_ = false;           ///< To be reset by us.
  bool noted_ = false;
  bool fresh_data_ = false;
  bool fresh_room_ = false;
};

/// Where packets go to.
class Device {
 public:
  virtual ~Device() = default;
  /// A TCP packet whose sum is not made: the field holds zero. `segment`: payload bytes of each
  /// segment that it is to be cut into; 0: it is one. Its first piece holds all headers.
  virtual void send(std::span<const std::span<const std::byte>> pieces, std::size_t size,
                    std::size_t segment) = 0;
};

struct Settings {
  std::size_t mtu = 1500;  ///< Bytes.
  /// The device cuts packets of up to 64 KiB into segments.
  bool segments = false;
  /// Bytes that a client may have sent before they are taken: at least 65,535.
  std::size_t window = 65535;
};

class Stack {
 public:
  /// A client has finished its handshake. Somebody must become the connection's user at once, or
  /// reset it.
  using Accept = std::function<void(Connection&)>;

  /// `device` and `blocks` must outlive the stack.
  Stack(const Settings& settings, Device& device, Blocks& blocks, Accept accept);
  /// Resets all connections.
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// A TCP packet in `block`, whose sum is known to be right. The block is taken, if it is of use.
  /// Requires: it has been parsed (nat::Packet), and is no fragment.
  void input(Block& block, std::size_t offset, std::size_t size);
  /// The same, from memory that stays with the caller.
  void input(std::span<const std::byte> packet);
  /// Behind the packets of a turn.
  void settle();

  /// How often `tick` is to be called while `ticks` is true. It is for all stacks, and does nothing
  /// where somebody else has called it a moment ago.
  static constexpr std::chrono::milliseconds kTick{250};
  static bool ticks();
  static void tick();

  std::size_t connections() const { return connections_.size(); }
  /// Bytes: of a connection whose data have all been taken.
  std::size_t window() const { return settings_.window; }
  /// Packets for which there was no memory, since the last call.
  std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }

 private:
  friend class Connection;
  struct Callbacks;

  void process(pbuf* packet);
  void send(pbuf* packet, std::size_t segment);
  void prepare(tcp_pcb& pcb) const;
  static void abort(tcp_pcb* pcb);
  bool is_too_much(std::span<const std::byte> packet, const tcp_pcb* pcb);

  Settings settings_;
  Device& device_;
  Blocks& blocks_;
  Accept accept_;
  std::unique_ptr<netif> netif_;
  tcp_pcb_listen* listener_ = nullptr;
  boost::intrusive::list<Connection> connections_;
  std::vector<Connection*> noted_;
  std::uint64_t dropped_ = 0;
};

}  // namespace hairpin::tcp
