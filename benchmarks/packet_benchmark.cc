// What one packet, and one flow, costs in our own code: build/release/benchmarks/packet_benchmark
#include <benchmark/benchmark.h>

#include "config/parse.h"
#include "nat/build.h"
#include "nat/offload.h"
#include "nat/translate.h"
#include "route/router.h"
#include "rule/address_set.h"
#include "rule/domain_set.h"
#include "support/packets.h"
#include "wire/http_connect.h"
#include "wire/socks5.h"

namespace {

using namespace hairpin;        // NOLINT(google-build-using-namespace)
using namespace hairpin::test;  // NOLINT(google-build-using-namespace)

const std::array kOwn{ip("172.18.0.1"), ip("fdfe:dcba:9876::1")};

void translate_v4(benchmark::State& state) {
  const nat::Translator translator(kOwn);
  Bytes packet = tcp({ip("172.18.0.1"), 40000}, {ip("203.0.113.10"), 443}, 0x10,
                     static_cast<std::size_t>(state.range(0)));
  nat::Packet view;
  for (auto _ : state) {
    benchmark::DoNotOptimize(translator.outer(packet, view));
    benchmark::DoNotOptimize(translator.inner(packet, view));
    std::ranges::swap_ranges(view.source_bytes(), view.destination_bytes());
  }
  state.SetItemsProcessed(state.iterations() * 2);
}
// The size must not matter: nothing behind the addresses is looked at.
BENCHMARK(translate_v4)->Arg(0)->Arg(1448)->Arg(64000);

void checksum(benchmark::State& state) {
  const Bytes bytes(static_cast<std::size_t>(state.range(0)), std::byte{0x5a});
  for (auto _ : state) benchmark::DoNotOptimize(nat::Sum().add(bytes).folded());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(64)->Arg(1500)->Arg(65535);

void build_udp(benchmark::State& state) {
  Bytes buffer(64 + 1400);
  const auto coverage = state.range(0) != 0 ? nat::Coverage::complete : nat::Coverage::pseudo_only;
  const Endpoint from = at("203.0.113.10:53");
  const Endpoint to = at("192.0.2.2:40000");
  for (auto _ : state) {
    benchmark::DoNotOptimize(nat::prepend_udp(buffer, 64, 1400, from, to, 1, coverage));
  }
}
BENCHMARK(build_udp)->Arg(0)->Arg(1);

nat::VnetHeader cut_at(std::uint16_t size) {
  nat::VnetHeader header;
  header.gso_type = nat::VnetHeader::kGsoTcp4;
  header.gso_size = size;
  return header;
}

/// A large TCP packet into segments of 1448 bytes.
void segment(benchmark::State& state) {
  Bytes whole = tcp({ip("172.18.0.1"), 40000}, {ip("203.0.113.10"), 443}, 0x10, 64000);
  Bytes out(1500);
  nat::Segmenter segmenter;
  for (auto _ : state) {
    if (!segmenter.begin(cut_at(1448), whole)) state.SkipWithError("refused");
    while (segmenter.next(out) != 0) benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 64000);
}
BENCHMARK(segment);

/// The same segments together again: their checksums looked at, and not.
void coalesce(benchmark::State& state) {
  Bytes whole = tcp({ip("172.18.0.1"), 40000}, {ip("203.0.113.10"), 443}, 0x10, 64000);
  nat::Segmenter segmenter;
  std::vector<Bytes> segments;
  if (!segmenter.begin(cut_at(1448), whole)) state.SkipWithError("refused");
  while (segmenter.left() != 0) {
    segments.emplace_back(segmenter.largest());
    segments.back().resize(segmenter.next(segments.back()));
  }
  nat::Coalescer coalescer({.verify = state.range(0) != 0});
  for (auto _ : state) {
    coalescer.clear();
    for (const Bytes& one : segments) benchmark::DoNotOptimize(coalescer.add(one));
    for (std::size_t i = 0; i < coalescer.size(); ++i) benchmark::DoNotOptimize(coalescer[i]);
  }
  state.SetBytesProcessed(state.iterations() * 64000);
}
BENCHMARK(coalesce)->Arg(1)->Arg(0);

void socks5_udp_header(benchmark::State& state) {
  const Target target{{}, at("203.0.113.10:53")};
  std::array<std::byte, socks5::kMaxUdpHeader> out{};
  for (auto _ : state) {
    const std::size_t size = socks5::write_udp_header(target, out);
    benchmark::DoNotOptimize(socks5::parse_udp_header(std::span(out).first(size)));
  }
}
BENCHMARK(socks5_udp_header);

// One CONNECT through a proxy: what we say, and what it answers.
void socks5_connect(benchmark::State& state) {
  const Target target{{}, at("203.0.113.10:443")};
  Bytes answer;
  put(answer, {5, 0, 0, 1, 0, 0, 0, 0, 0, 0});
  for (auto _ : state) {
    benchmark::DoNotOptimize(socks5::greeting(false));
    benchmark::DoNotOptimize(socks5::request(socks5::Command::connect, target));
    benchmark::DoNotOptimize(socks5::parse_reply(answer));
  }
}
BENCHMARK(socks5_connect);

void http_connect_exchange(benchmark::State& state) {
  const Target target{{}, at("203.0.113.10:443")};
  const std::optional<http_connect::Credentials> login{{"user", "password"}};
  const std::string answer = "HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n";
  for (auto _ : state) {
    benchmark::DoNotOptimize(http_connect::request(target, login));
    benchmark::DoNotOptimize(http_connect::parse_response(std::as_bytes(std::span(answer))));
  }
}
BENCHMARK(http_connect_exchange);

void route_rules(benchmark::State& state) {
  std::string rules;
  for (int i = 0; i < state.range(0); ++i) {
    rules += R"({"ip_cidr": "10.0.)" + std::to_string(i % 256) + R"(.0/24", "outbound": "a"},)";
  }
  config::Problems problems;
  const auto config = config::parse(
      R"({"inbounds": {"type": "tun", "address": "172.18.0.1/30"},
          "outbounds": {"type": "direct", "tag": "a"}, "route": {"rules": [)" +
          rules + "]}}",
      problems);
  const route::Router router(config.value());
  const Flow flow{Network::tcp, at("192.0.2.2:40000"), at("203.0.113.10:443"), 0};
  for (auto _ : state) benchmark::DoNotOptimize(router.decide(flow));
}
// No rule matches: all are looked at.
BENCHMARK(route_rules)->Arg(1)->Arg(10)->Arg(100)->Arg(1000);

// ---- rule-sets: what one question costs, and what each entry takes
// -------------------------------

/// So many /24 and /48, none beside another, all over the addresses.
rule::AddressSet prefixes(std::size_t count) {
  std::vector<Interval> all;
  for (std::size_t i = 0; i < count; ++i) {
    const auto number = static_cast<std::uint32_t>(i * (std::size_t{1} << 23) / count * 2);
    const auto byte = [number](int shift) { return static_cast<std::uint8_t>(number >> shift); };
    all.push_back(
        interval_of({IpAddr(std::array<std::uint8_t, 4>{byte(16), byte(8), byte(0), 0}), 24}));
  }
  return rule::AddressSet(std::move(all));
}

void address_set(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const rule::AddressSet set = prefixes(count);
  std::uint32_t number = 1;
  std::size_t found = 0;
  for (auto _ : state) {
    number = number * 1664525 + 1013904223;
    const auto byte = [number](int shift) { return static_cast<std::uint8_t>(number >> shift); };
    found += set.contains(IpAddr(std::array<std::uint8_t, 4>{byte(24), byte(16), byte(8), byte(0)}))
                 ? 1
                 : 0;
  }
  benchmark::DoNotOptimize(found);
  state.counters["bytes_per_entry"] =
      static_cast<double>(set.memory()) / static_cast<double>(count);
}
BENCHMARK(address_set)->Arg(10)->Arg(10'000)->Arg(1'000'000);

std::string domain(std::size_t i) {
  return "site" + std::to_string(i * 7919) + ".zone" + std::to_string(i % 1000) + ".example";
}

void domain_set(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  rule::DomainSet set;
  for (std::size_t i = 0; i < count; ++i) set.add_suffix(domain(i));
  set.finish();
  // Half of the questions are for a name below an entry.
  std::vector<std::string> names;
  for (std::size_t i = 0; i < 4096; ++i) {
    names.push_back("www." + domain(i % 2 == 0 ? i * 999'983 % count : count + i));
  }
  std::size_t at = 0;
  std::size_t found = 0;
  for (auto _ : state) found += set.contains(names[at++ % names.size()]) ? 1 : 0;
  benchmark::DoNotOptimize(found);
  state.counters["bytes_per_entry"] =
      static_cast<double>(set.memory()) / static_cast<double>(count);
}
BENCHMARK(domain_set)->Arg(10)->Arg(10'000)->Arg(1'000'000);

}  // namespace
