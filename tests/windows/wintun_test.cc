// The ring of packets, over a double of wintun.dll (wintun_double.cc) that lies beside this
// program.
#include "platform/wintun.h"

#include <gtest/gtest.h>

#include <numeric>

#include "platform/adapters_windows.h"

namespace hairpin::platform {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

std::wstring beside(const wchar_t* name) {
  std::array<wchar_t, 4096> path{};
  const DWORD size = ::GetModuleFileNameW(nullptr, path.data(), path.size());
  const std::wstring text(path.data(), size);
  return text.substr(0, text.find_last_of(L'\\') + 1) + name;
}

/// What the double offers beside Wintun's functions.
class WintunDouble {
 public:
  WintunDouble() : module_(::GetModuleHandleW(L"wintun.dll")) {}

  void inject(const Bytes& packet) const {
    call<void(WINAPI*)(const BYTE*, DWORD)>("DoubleInject")(
        reinterpret_cast<const BYTE*>(packet.data()), static_cast<DWORD>(packet.size()));
  }
  Bytes take() const {
    Bytes packet(65536);
    packet.resize(call<DWORD(WINAPI*)(BYTE*, DWORD)>("DoubleTake")(
        reinterpret_cast<BYTE*>(packet.data()), static_cast<DWORD>(packet.size())));
    return packet;
  }
  void remove() const { call<void(WINAPI*)()>("DoubleRemove")(); }
  std::array<int, 4> state() const {
    std::array<int, 4> numbers{};
    call<void(WINAPI*)(int*)>("DoubleState")(numbers.data());
    return numbers;
  }
  GUID guid() const {
    GUID found{};
    call<void(WINAPI*)(GUID*)>("DoubleGuid")(&found);
    return found;
  }

 private:
  template <class Function>
  Function call(const char* name) const {
    return reinterpret_cast<Function>(reinterpret_cast<void*>(::GetProcAddress(module_, name)));
  }
  HMODULE module_;
};

Bytes packet_of(std::size_t size, int first) {
  Bytes packet(size);
  for (std::size_t i = 0; i < size; ++i)
    packet[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return packet;
}

class WintunTest : public testing::Test {
 protected:
  WintunTest() : library_(WintunLibrary::load().value()) {}

  Wintun open(const std::string& name = "hp0", std::uint32_t ring = 0x20000) {
    return Wintun::open(library_, {name, "", ring}).value();
  }
  template <class Done>
  bool run_until(Done done) {
    const auto until = Clock::now() + 10s;
    while (!done() && Clock::now() < until) {
      context_.restart();
      context_.run_for(5ms);
    }
    return done();
  }

  std::shared_ptr<WintunLibrary> library_;
  asio::io_context context_{1};
  WintunDouble double_;
};

TEST(WintunLibrary, ErrorsNameTheFileAndWhatItLacks) {
  const auto absent = WintunLibrary::load(beside(L"no-such.dll"));
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ENOENT);
  EXPECT_NE(absent.error().text().find("no-such.dll"), std::string::npos) << absent.error().text();
  EXPECT_NE(absent.error().text().find("wintun.net"), std::string::npos);

  const auto other = WintunLibrary::load(beside(L"incomplete.dll"));
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().text().find("incomplete.dll has no function WintunGetReadWaitEvent"),
            std::string::npos)
      << other.error().text();
}

TEST_F(WintunTest, TellsTheVersionOfItsDriver) {
  EXPECT_EQ(library_->driver_version(), "0.14");
}

TEST_F(WintunTest, ErrorsOfTheAdapterAreTold) {
  const auto forbidden = Wintun::open(library_, {"forbidden", "", 0x20000});
  ASSERT_FALSE(forbidden);
  EXPECT_EQ(forbidden.error().code, EACCES) << forbidden.error().text();
  const auto odd = Wintun::open(library_, {"hp0", "", 100'000});
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().code, EINVAL) << odd.error().text();
  EXPECT_EQ(double_.state(), (std::array{0, 0, 0, 0}));
}

TEST_F(WintunTest, PacketsArriveInTheirOrderHoweverManyThereAre) {
  Wintun tun = open();
  std::vector<Bytes> arrived;
  // Before anybody waits; more than are taken at once.
  for (int i = 0; i < 200; ++i) double_.inject(packet_of(20 + static_cast<std::size_t>(i), i));
  tun.start(
      context_.get_executor(),
      [&](std::span<std::byte> packet) { arrived.emplace_back(packet.begin(), packet.end()); },
      [](const Error& error) { ADD_FAILURE() << error.text(); });
  ASSERT_TRUE(run_until([&] { return arrived.size() == 200; }));
  // One at a time, each of which has to wake it.
  for (int i = 200; i < 230; ++i) {
    double_.inject(packet_of(20 + static_cast<std::size_t>(i), i));
    ASSERT_TRUE(run_until([&] { return arrived.size() == static_cast<std::size_t>(i) + 1; }));
  }
  for (int i = 0; i < 230; ++i) {
    EXPECT_EQ(arrived[static_cast<std::size_t>(i)], packet_of(20 + static_cast<std::size_t>(i), i));
  }
  tun.stop();
}

TEST_F(WintunTest, SendsUntilTheRingIsFull) {
  Wintun tun = open();
  std::size_t sent = 0;
  for (;;) {
    auto room = tun.allocate(1500);
    if (!room) {
      EXPECT_EQ(room.error().code, ENOBUFS) << room.error().text();
      break;
    }
    const Bytes packet = packet_of(1500, static_cast<int>(sent));
    std::ranges::copy(packet, room->begin());
    tun.send(*room);
    ++sent;
  }
  EXPECT_EQ(sent, 0x20000U / 1500);
  for (std::size_t i = 0; i < sent; ++i)
    EXPECT_EQ(double_.take(), packet_of(1500, static_cast<int>(i)));
  EXPECT_TRUE(double_.take().empty());
  auto room = tun.allocate(40);
  ASSERT_TRUE(room);
  tun.send(*room);
  EXPECT_EQ(double_.take().size(), 40U);
}

/// What the userspace stack does: answers from within the handler.
TEST_F(WintunTest, EchoesALoad) {
  Wintun tun = open("hp0", 0x400000);
  tun.start(
      context_.get_executor(),
      [&](std::span<std::byte> packet) {
        auto room = tun.allocate(packet.size());
        ASSERT_TRUE(room) << room.error().text();
        std::ranges::copy(packet, room->begin());
        tun.send(*room);
      },
      [](const Error& error) { ADD_FAILURE() << error.text(); });
  std::thread driver([&] {
    for (int i = 0; i < 20'000; ++i) double_.inject(packet_of(64, i));
  });
  int next = 0;
  EXPECT_TRUE(run_until([&] {
    for (;;) {
      const Bytes packet = double_.take();
      if (packet.empty()) return next == 20'000;
      EXPECT_EQ(packet, packet_of(64, next++));
    }
  }));
  driver.join();
  tun.stop();
}

TEST_F(WintunTest, ARemovedAdapterIsTold) {
  Wintun tun = open();
  Error told;
  tun.start(
      context_.get_executor(), [](std::span<std::byte>) {},
      [&](const Error& error) { told = error; });
  double_.remove();
  ASSERT_TRUE(run_until([&] { return !told.what.empty(); }));
  EXPECT_EQ(told.code, ENODEV) << told.text();
  EXPECT_FALSE(tun.allocate(40));
}

TEST_F(WintunTest, LeavesNothingBehind) {
  {
    Wintun one = open();
    one.start(context_.get_executor(), [](std::span<std::byte>) {}, [](const Error&) {});
    Wintun other = std::move(one);
    EXPECT_EQ(double_.state()[0], 1);
  }
  context_.restart();
  context_.run_for(100ms);
  EXPECT_EQ(double_.state(), (std::array{0, 0, 0, 0}));
}

TEST_F(WintunTest, TheSameNameIsTheSameAdapter) {
  {
    const Wintun tun = open("hp0");
  }
  const GUID first = double_.guid();
  {
    const Wintun tun = open("hp1");
  }
  const GUID other = double_.guid();
  {
    const Wintun tun = open("hp0");
  }
  const GUID again = double_.guid();
  EXPECT_TRUE(::IsEqualGUID(first, again));
  EXPECT_FALSE(::IsEqualGUID(first, other));
}

}  // namespace
}  // namespace hairpin::platform
