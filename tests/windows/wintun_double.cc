// A wintun.dll of our own for tests: the documented functions over a ring in this process, whose
// other end is the test's. What hairpin sends can be taken from it, what the test puts in arrives.
//
// The test drives it by functions of its own: DoubleInject, DoubleTake, DoubleRemove, DoubleState.
// Where HAIRPIN_DOUBLE_PEER is the number of a UDP port on this host, the other end is there
// instead: a datagram for each packet, both ways, behind an empty one of ours.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Packet = std::vector<BYTE>;

struct Room {
  Packet packet;
  bool filled = false;
};

struct Session {
  DWORD capacity = 0;
  HANDLE arrived = nullptr;
  std::mutex mutex;
  std::deque<Packet> incoming;          ///< From the test.
  std::map<const BYTE*, Packet> taken;  ///< Being looked at.
  std::deque<Room> rooms;               ///< Allocated, in order.
  std::deque<Packet> outgoing;          ///< To the test.
  std::size_t used = 0;                 ///< Bytes of `rooms` and `outgoing`.
  bool removed = false;
  SOCKET peer = INVALID_SOCKET;
  std::thread from_peer;
};

struct Adapter {
  std::wstring name;
  std::wstring type;
  GUID guid{};
  bool has_session = false;
};

struct State {
  int adapters = 0;
  int sessions = 0;
  int unreleased = 0;
  int misuse = 0;  ///< Calls that the documentation forbids.
  GUID guid{};
};

State state;
Session* current = nullptr;

/// As the driver does: the event is set when the ring was empty before, and never else.
void arrive(Session& session, Packet packet) {
  const std::lock_guard lock(session.mutex);
  const bool was_empty = session.incoming.empty();
  session.incoming.push_back(std::move(packet));
  if (was_empty) ::SetEvent(session.arrived);
}

void read_peer(Session& session) {
  Packet packet(65536);
  for (;;) {
    const int size = ::recv(session.peer, reinterpret_cast<char*>(packet.data()),
                            static_cast<int>(packet.size()), 0);
    if (size < 0) return;
    arrive(session, Packet(packet.begin(), packet.begin() + size));
  }
}

void meet_peer(Session& session, const char* port) {
  WSADATA ignored;
  ::WSAStartup(MAKEWORD(2, 2), &ignored);
  session.peer = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  address.sin_port = ::htons(static_cast<u_short>(std::atoi(port)));
  ::connect(session.peer, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::send(session.peer, "", 0, 0);
  session.from_peer = std::thread([&session] { read_peer(session); });
}

void leave(Session& session, Packet packet) {
  if (session.peer == INVALID_SOCKET) {
    session.outgoing.push_back(std::move(packet));
    return;
  }
  session.used -= packet.size();
  ::send(session.peer, reinterpret_cast<const char*>(packet.data()),
         static_cast<int>(packet.size()), 0);
}

}  // namespace

#define EXPORT extern "C" __declspec(dllexport)

EXPORT Adapter* WINAPI WintunCreateAdapter(LPCWSTR name, LPCWSTR type, const GUID* requested) {
  if (std::wstring(name) == L"forbidden") {
    ::SetLastError(ERROR_ACCESS_DENIED);
    return nullptr;
  }
  ++state.adapters;
  if (requested != nullptr) state.guid = *requested;
  return new Adapter{name, type, requested != nullptr ? *requested : GUID{}};
}

EXPORT void WINAPI WintunCloseAdapter(Adapter* adapter) {
  if (adapter->has_session) ++state.misuse;
  --state.adapters;
  delete adapter;
}

EXPORT void WINAPI WintunGetAdapterLUID(Adapter* /*adapter*/, NET_LUID* luid) {
  luid->Value = 0x35000000000000;  // IF_TYPE_PROP_VIRTUAL, number 0
}

EXPORT DWORD WINAPI WintunGetRunningDriverVersion() {
  return 0x0000000e;  // 0.14
}

EXPORT Session* WINAPI WintunStartSession(Adapter* adapter, DWORD capacity) {
  const bool power = capacity != 0 && (capacity & (capacity - 1)) == 0;
  if (!power || capacity < 0x20000 || capacity > 0x4000000) {
    ::SetLastError(ERROR_INVALID_PARAMETER);
    return nullptr;
  }
  auto* session = new Session;
  session->capacity = capacity;
  session->arrived = ::CreateEventW(nullptr, FALSE, FALSE, nullptr);
  adapter->has_session = false;  // closing an adapter ends its session
  ++state.sessions;
  current = session;
  if (const char* port = std::getenv("HAIRPIN_DOUBLE_PEER")) meet_peer(*session, port);
  return session;
}

EXPORT void WINAPI WintunEndSession(Session* session) {
  if (session->peer != INVALID_SOCKET) {
    ::shutdown(session->peer, SD_BOTH);
    ::closesocket(session->peer);
    session->from_peer.join();
  }
  state.unreleased += static_cast<int>(session->taken.size());
  state.misuse += static_cast<int>(session->rooms.size());
  ::CloseHandle(session->arrived);
  if (current == session) current = nullptr;
  --state.sessions;
  delete session;
}

EXPORT HANDLE WINAPI WintunGetReadWaitEvent(Session* session) {
  return session->arrived;
}

EXPORT BYTE* WINAPI WintunReceivePacket(Session* session, DWORD* size) {
  const std::lock_guard lock(session->mutex);
  if (session->incoming.empty()) {
    ::SetLastError(session->removed ? ERROR_HANDLE_EOF : ERROR_NO_MORE_ITEMS);
    return nullptr;
  }
  Packet packet = std::move(session->incoming.front());
  session->incoming.pop_front();
  BYTE* start = packet.data();
  *size = static_cast<DWORD>(packet.size());
  session->taken.emplace(start, std::move(packet));
  return start;
}

EXPORT void WINAPI WintunReleaseReceivePacket(Session* session, const BYTE* packet) {
  const std::lock_guard lock(session->mutex);
  if (session->taken.erase(packet) != 1) ++state.misuse;
}

EXPORT BYTE* WINAPI WintunAllocateSendPacket(Session* session, DWORD size) {
  const std::lock_guard lock(session->mutex);
  if (session->removed) {
    ::SetLastError(ERROR_HANDLE_EOF);
    return nullptr;
  }
  if (size > 0xffff || session->used + size > session->capacity) {
    ::SetLastError(ERROR_BUFFER_OVERFLOW);
    return nullptr;
  }
  session->used += size;
  session->rooms.push_back({Packet(size)});
  return session->rooms.back().packet.data();
}

EXPORT void WINAPI WintunSendPacket(Session* session, const BYTE* packet) {
  const std::lock_guard lock(session->mutex);
  bool known = false;
  for (Room& room : session->rooms) {
    if (room.packet.data() != packet) continue;
    known = !room.filled;
    room.filled = true;
  }
  if (!known) ++state.misuse;
  // They leave in the order in which they were allocated.
  while (!session->rooms.empty() && session->rooms.front().filled) {
    leave(*session, std::move(session->rooms.front().packet));
    session->rooms.pop_front();
  }
}

EXPORT void WINAPI DoubleInject(const BYTE* bytes, DWORD size) {
  arrive(*current, Packet(bytes, bytes + size));
}

/// The size of the oldest packet that was sent, which is copied to `into`; 0: there is none.
EXPORT DWORD WINAPI DoubleTake(BYTE* into, DWORD room) {
  const std::lock_guard lock(current->mutex);
  if (current->outgoing.empty()) return 0;
  const Packet packet = std::move(current->outgoing.front());
  current->outgoing.pop_front();
  current->used -= packet.size();
  std::memcpy(into, packet.data(), std::min<std::size_t>(room, packet.size()));
  return static_cast<DWORD>(packet.size());
}

EXPORT void WINAPI DoubleRemove() {
  const std::lock_guard lock(current->mutex);
  current->removed = true;
  ::SetEvent(current->arrived);
}

/// Four numbers: adapters, sessions, packets that were not released, misuse.
EXPORT void WINAPI DoubleState(int* numbers) {
  numbers[0] = state.adapters;
  numbers[1] = state.sessions;
  numbers[2] = state.unreleased;
  numbers[3] = state.misuse;
}

EXPORT void WINAPI DoubleGuid(GUID* guid) {
  *guid = state.guid;
}
