#include "tcp/stack.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <lwip_hooks.h>
#include "base/log.h"
#include "nat/opening.h"
#include "nat/packet.h"
#include "tcp/convert.h"

namespace hairpin::tcp {

namespace {

/// Bytes: smaller packets are copied, so that their block can be read into again.
constexpr std::size_t kCopied = 2048;
/// Pieces of one packet on its way out; lwIP makes two: headers, and what was sent.
constexpr std::size_t kPieces = 16;
/// The largest payload of an IPv6 packet, and so of an IPv4 one.
constexpr std::size_t kLargestSegment = 65535 - 60;

/// Bytes that a connection may always have.
constexpr std::size_t kFair = 8 * 1024;
/// Of lwIP's slow ticks: a second.
constexpr std::uint32_t kTimeWait = 2;

using Clock = std::chrono::steady_clock;

// As lwIP is, so is this: there is one of it.
netif* current = nullptr;    ///< The device that is being served.
std::vector<Stack*> stacks;  ///< All there are.

/// A packet that was copied.
struct CopyBuffer {
  pbuf_custom custom{};
  Blocks* blocks = nullptr;
  std::vector<std::byte> bytes;

  static void free(pbuf* buffer) {
    const std::unique_ptr<CopyBuffer> self(reinterpret_cast<CopyBuffer*>(buffer));
    self->blocks->let_go(self->bytes.size());
  }
};

/// lwIP looks for a packet's connection by walking along its lists: of thousands, each packet would
/// see half. So its lists are kept here, and it is shown the one connection that a packet, or a
/// call, is about; all of them, when its timers run.
class Connections {
 public:
  struct Key {
    Endpoint client;
    Endpoint destination;
    std::uint8_t device = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };

  /// Shows lwIP one connection, or none, as long as this exists.
  class Shown {
   public:
    Shown(Connections& all, tcp_pcb* pcb) : all_(all), pcb_(pcb) {
      if (pcb_ == nullptr) return;
      if (pcb_->state == TIME_WAIT) {
        tcp_tw_pcbs = pcb_;
      } else {
        tcp_active_pcbs = pcb_;
      }
      key_ = key_of(*pcb_);
    }
    ~Shown() {
      // What lwIP has freed is in none of its lists, and must not be looked at.
      if (pcb_ != nullptr && tcp_active_pcbs != pcb_ && tcp_tw_pcbs != pcb_) all_.map_.erase(key_);
      all_.take_back();
    }
    Shown(const Shown&) = delete;
    Shown& operator=(const Shown&) = delete;

   private:
    Connections& all_;
    tcp_pcb* pcb_;
    Key key_;
  };

  tcp_pcb* find(const Key& key) const {
    const auto found = map_.find(key);
    return found == map_.end() ? nullptr : found->second;
  }
  bool empty() const { return map_.empty(); }

  /// Runs `act` while lwIP sees all.
  template <class Act>
  void with_all(Act act) {
    for (auto& [key, pcb] : map_) {
      tcp_pcb*& list = pcb->state == TIME_WAIT ? tcp_tw_pcbs : tcp_active_pcbs;
      pcb->next = list;
      list = pcb;
    }
    map_.clear();
    act();
    take_back();
  }

 private:
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept {
      const EndpointHash hash;
      return (hash(key.client) * 31 + hash(key.destination)) * 31 + key.device;
    }
  };
  static Key key_of(const tcp_pcb& pcb) {
    return {{from_lwip(pcb.remote_ip), pcb.remote_port},
            {from_lwip(pcb.local_ip), pcb.local_port},
            pcb.netif_idx};
  }
  void take_back() {
    for (tcp_pcb** list : {&tcp_active_pcbs, &tcp_tw_pcbs}) {
      while (*list != nullptr) {
        tcp_pcb* pcb = std::exchange(*list, (*list)->next);
        pcb->next = nullptr;
        map_.insert_or_assign(key_of(*pcb), pcb);
      }
    }
  }

  std::unordered_map<Key, tcp_pcb*, Hash> map_;
};
Connections all;

/// A block that lwIP has.
struct BlockBuffer {
  pbuf_custom custom{};
  Blocks* blocks = nullptr;
  Block block;

  static void free(pbuf* buffer) {
    // The pbuf is the first thing in its pbuf_custom, and that in this.
    const std::unique_ptr<BlockBuffer> self(reinterpret_cast<BlockBuffer*>(buffer));
    self->blocks->give_back(std::move(self->block));
  }
};
static_assert(offsetof(pbuf_custom, pbuf) == 0);

/// Keyed once for each process.
class SipHash {
 public:
  SipHash() {
    std::array<unsigned char, 16> key{};
    EVP_MAC* algorithm = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
    // A library can be built without.
    keyed_ = algorithm == nullptr ? nullptr : EVP_MAC_CTX_new(algorithm);
    EVP_MAC_free(algorithm);
    if (keyed_ == nullptr || RAND_bytes(key.data(), key.size()) != 1 ||
        EVP_MAC_init(keyed_, key.data(), key.size(), nullptr) != 1) {
      EVP_MAC_CTX_free(std::exchange(keyed_, nullptr));
    }
  }
  ~SipHash() { EVP_MAC_CTX_free(keyed_); }
  SipHash(const SipHash&) = delete;
  SipHash& operator=(const SipHash&) = delete;

  std::uint32_t operator()(std::span<const std::uint8_t> bytes) const {
    std::array<unsigned char, 16> sum{};
    std::size_t size = 0;
    EVP_MAC_CTX* copy = keyed_ == nullptr ? nullptr : EVP_MAC_CTX_dup(keyed_);
    if (copy == nullptr || EVP_MAC_update(copy, bytes.data(), bytes.size()) != 1 ||
        EVP_MAC_final(copy, sum.data(), &size, sum.size()) != 1) {
      RAND_bytes(sum.data(), sum.size());
    }
    EVP_MAC_CTX_free(copy);
    std::uint32_t value = 0;
    std::memcpy(&value, sum.data(), sizeof value);
    return value;
  }

 private:
  EVP_MAC_CTX* keyed_ = nullptr;
};

std::uint32_t initial_sequence(const Endpoint& local, const Endpoint& remote) {
  static const SipHash hash;
  std::array<std::uint8_t, 36> ends{};
  auto* put = ends.data();
  for (const Endpoint* end : {&local, &remote}) {
    put = std::ranges::copy(end->address.bytes(), put).out;
    *put++ = static_cast<std::uint8_t>(end->port >> 8);
    *put++ = static_cast<std::uint8_t>(end->port);
  }
  constexpr auto kStep = std::chrono::microseconds(4);
  const auto clock = std::chrono::steady_clock::now().time_since_epoch() / kStep;
  return static_cast<std::uint32_t>(clock) + hash(ends);
}

std::size_t payload_of(std::span<const std::byte> headers, std::size_t size) {
  const bool v4 = (std::to_integer<unsigned>(headers[0]) >> 4) == 4;
  const std::size_t ip = v4 ? sizeof(nat::Ip4Header) : sizeof(nat::Ip6Header);
  const auto& tcp = nat::header_at<const nat::TcpHeader>(headers.subspan(ip));
  return size - ip - std::size_t{tcp.offset} / 16 * 4;
}

}  // namespace

std::unique_ptr<Blocks::Block> Blocks::take() {
  ++used_;
  if (idle_.empty()) return std::make_unique_for_overwrite<Block>();
  auto block = std::move(idle_.back());
  idle_.pop_back();
  return block;
}

void Blocks::give_back(std::unique_ptr<Block> block) {
  --used_;
  if (idle_.size() < idle_limit()) idle_.push_back(std::move(block));
}

std::size_t Blocks::idle_limit() const {
  constexpr std::size_t kIdle = 64;
  return limit_ == 0 ? kIdle : std::min(kIdle, limit_ / kBlock / 4);
}

struct Stack::Callbacks {
  static err_t init(netif* device) {
    device->output = [](netif* out, pbuf* packet, const ip4_addr_t*) { return send(out, packet); };
    device->output_ip6 = [](netif* out, pbuf* packet, const ip6_addr_t*) {
      return send(out, packet);
    };
    return ERR_OK;
  }

  static err_t send(netif* out, pbuf* packet) {
    // lwIP tells whose segment it is by a member of its connection.
    std::size_t segment = 0;
    if (out->hints != nullptr) {
      const auto* pcb = reinterpret_cast<const tcp_pcb*>(reinterpret_cast<const char*>(out->hints) -
                                                         offsetof(tcp_pcb, netif_hints));
      segment = reinterpret_cast<std::uintptr_t>(tcp_ext_arg_get(pcb, 0));
    }
    static_cast<Stack*>(out->state)->send(packet, segment);
    return ERR_OK;
  }

  static err_t accept(void* self, tcp_pcb* pcb, err_t failed) {
    if (failed != ERR_OK || pcb == nullptr) return ERR_OK;
    auto& stack = *static_cast<Stack*>(self);
    auto* connection = new Connection(stack, pcb);
    stack.connections_.push_back(*connection);
    stack.prepare(*pcb);
    stack.accept_(*connection);
    return ERR_OK;
  }
};

Stack::Stack(const Settings& settings, Device& device, Blocks& blocks, Accept accept)
    : settings_(settings),
      device_(device),
      blocks_(blocks),
      accept_(std::move(accept)),
      netif_(std::make_unique<netif>()) {
  static std::once_flag once;
  std::call_once(once, lwip_init);
  stacks.push_back(this);
  // Not an address of anybody's; input() gives it others.
  const ip4_addr_t address{lwip_htonl(0xc0000201)};
  const ip4_addr_t mask{0xffffffff};
  netif_add(netif_.get(), &address, &mask, &address, this, &Callbacks::init, ip_input);
  netif_->mtu = static_cast<u16_t>(std::min<std::size_t>(settings.mtu, 65535));
  netif_->ip6_addr_state[0] = IP6_ADDR_PREFERRED;
  netif_set_up(netif_.get());
  netif_set_link_up(netif_.get());

  tcp_pcb* pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
  tcp_bind_netif(pcb, netif_.get());
  pcb->so_options |= SOF_REUSEADDR;
  tcp_bind(pcb, IP_ANY_TYPE, 1);  // input() gives it others
  listener_ = reinterpret_cast<tcp_pcb_listen*>(tcp_listen(pcb));
  tcp_arg(reinterpret_cast<tcp_pcb*>(listener_), this);
  tcp_accept(reinterpret_cast<tcp_pcb*>(listener_), &Callbacks::accept);
}

Stack::~Stack() {
  current = netif_.get();
  connections_.clear_and_dispose([](Connection* connection) {
    if (connection->user_ != nullptr) std::exchange(connection->user_, nullptr)->gone();
    delete connection;
  });
  all.with_all([this] {
    for (tcp_pcb* pcb : {tcp_active_pcbs, tcp_tw_pcbs}) {
      while (pcb != nullptr) {
        tcp_pcb* next = pcb->next;
        if (pcb->netif_idx == netif_get_index(netif_.get())) tcp_abort(pcb);
        pcb = next;
      }
    }
    tcp_close(reinterpret_cast<tcp_pcb*>(listener_));
    netif_remove(netif_.get());
  });
  current = nullptr;
  std::erase(stacks, this);
}

void Stack::prepare(tcp_pcb& pcb) const {
  const auto window = static_cast<tcpwnd_size_t>(std::min<std::size_t>(settings_.window, TCP_WND));
  if (pcb.rcv_wnd > window) {
    // What the SYN-ACK could say of it is less, whatever lwIP believes.
    pcb.rcv_wnd = pcb.rcv_ann_wnd = window;
    pcb.rcv_ann_right_edge = pcb.rcv_nxt + window;
  }
  // The device cuts: lwIP's segments may be as large as a packet.
  if (!settings_.segments || pcb.mss == 0) return;
  tcp_ext_arg_set(&pcb, 0, reinterpret_cast<void*>(std::uintptr_t{pcb.mss}));
  pcb.mss = static_cast<u16_t>(kLargestSegment / pcb.mss * pcb.mss);
}

void Stack::send(pbuf* packet, std::size_t segment) {
  std::array<std::span<const std::byte>, kPieces> pieces;
  std::size_t count = 0;
  for (const pbuf* piece = packet; piece != nullptr; piece = piece->next) {
    if (count == pieces.size()) break;
    pieces[count++] =
        std::as_bytes(std::span(static_cast<const char*>(piece->payload), piece->len));
  }
  if (segment != 0 && payload_of(pieces[0], packet->tot_len) <= segment) segment = 0;
  if (count < pieces.size()) {
    return device_.send(std::span(pieces).first(count), packet->tot_len, segment);
  }
  Block block = blocks_.take();
  const auto bytes = std::span(*block).first(packet->tot_len);
  pbuf_copy_partial(packet, bytes.data(), packet->tot_len, 0);
  pieces[0] = bytes;
  device_.send(std::span(pieces).first(1), packet->tot_len, segment);
  blocks_.give_back(std::move(block));
}

void Stack::input(Block& block, std::size_t offset, std::size_t size) {
  if (size < kCopied) return input(std::span<const std::byte>(*block).subspan(offset, size));
  auto* buffer = new BlockBuffer;
  buffer->custom.custom_free_function = &BlockBuffer::free;
  buffer->blocks = &blocks_;
  buffer->block = std::move(block);
  const auto length = static_cast<u16_t>(size);
  process(pbuf_alloced_custom(PBUF_RAW, length, PBUF_REF, &buffer->custom,
                              buffer->block->data() + offset, length));
}

void Stack::input(std::span<const std::byte> packet) {
  auto* buffer = new CopyBuffer{.blocks = &blocks_, .bytes = {packet.begin(), packet.end()}};
  buffer->custom.custom_free_function = &CopyBuffer::free;
  blocks_.hold(packet.size());
  const auto length = static_cast<u16_t>(packet.size());
  process(pbuf_alloced_custom(PBUF_RAW, length, PBUF_REF, &buffer->custom, buffer->bytes.data(),
                              length));
}

bool Stack::is_too_much(std::span<const std::byte> packet, const tcp_pcb* pcb) {
  // What brings no payload may free memory; who waits for little shall get it.
  if (!blocks_.scarce() || pcb == nullptr || payload_of(packet, packet.size()) == 0) return false;
  const auto* connection = static_cast<const Connection*>(pcb->callback_arg);
  if (connection == nullptr || connection->unread_size() < kFair) return false;
  ++dropped_;
  return true;
}

void Stack::process(pbuf* packet) {
  current = netif_.get();
  const auto bytes =
      std::as_writable_bytes(std::span(static_cast<char*>(packet->payload), packet->len));
  nat::Packet parsed;
  if (nat::Packet::parse(bytes, parsed) != nat::Malformed::none) {
    pbuf_free(packet);
    return;
  }
  const auto destination = parsed.destination_bytes();
  void* own = parsed.family() == Family::v4
                  ? static_cast<void*>(&ip_2_ip4(&netif_->ip_addr)->addr)
                  : static_cast<void*>(ip_2_ip6(&netif_->ip6_addr[0])->addr);
  std::memcpy(own, destination.data(), destination.size());
  if (parsed.transport().size() < sizeof(nat::TcpHeader)) {
    pbuf_free(packet);
    return;
  }
  const auto& tcp = nat::header_at<const nat::TcpHeader>(parsed.transport());
  listener_->local_port = tcp.destination_port;
  tcp_pcb* pcb = all.find({{parsed.source(), tcp.source_port},
                           {parsed.destination(), tcp.destination_port},
                           netif_get_index(netif_.get())});
  if (pcb != nullptr && pcb->state == TIME_WAIT && nat::may_open(parsed)) {
    // A client that uses its port again: RFC 1122, 4.2.2.13. lwIP would answer with RST.
    abort(pcb);
    pcb = nullptr;
  }
  if (is_too_much(parsed.bytes(), pcb)) {
    pbuf_free(packet);
    return;
  }
  const Connections::Shown shown(all, pcb);
  netif_->input(packet, netif_.get());
}

void Stack::abort(tcp_pcb* pcb) {
  const Connections::Shown shown(all, pcb);
  tcp_abort(pcb);
}

void Stack::settle() {
  while (!noted_.empty()) {
    for (Connection* connection : std::exchange(noted_, {})) {
      connection->settle();
      if (connection->noted_ || !connection->is_over()) continue;
      connections_.erase(connections_.iterator_to(*connection));
      delete connection;
    }
  }
}

bool Stack::ticks() {
  return !all.empty();
}

void Stack::tick() {
  static Clock::time_point last;
  const auto now = Clock::now();
  if (now - last < kTick / 2) return;
  last = now;
  all.with_all([] {
    tcp_tmr();
    // The client is one device away: nothing old comes late.
    for (tcp_pcb* pcb = tcp_tw_pcbs; pcb != nullptr;) {
      tcp_pcb* next = pcb->next;
      if (tcp_ticks - pcb->tmr > kTimeWait) tcp_abort(pcb);
      pcb = next;
    }
  });
  for (Stack* stack : stacks) stack->settle();
}

}  // namespace hairpin::tcp

extern "C" {

void hairpin_lwip_failed(const char* what, const char* file, int line) {
  hairpin::log::error("lwIP: {} ({}:{})", what, file, line);
  std::abort();
}

u32_t hairpin_lwip_isn(const ip_addr_t* local, u16_t local_port, const ip_addr_t* remote,
                       u16_t remote_port) {
  using hairpin::tcp::from_lwip;
  return hairpin::tcp::initial_sequence({from_lwip(*local), local_port},
                                        {from_lwip(*remote), remote_port});
}

netif* hairpin_lwip_route(void) {
  return hairpin::tcp::current;
}

}  // extern "C"
