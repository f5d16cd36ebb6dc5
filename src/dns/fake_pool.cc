#include "dns/fake_pool.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>

#include "base/interval.h"

namespace hairpin::dns {

namespace {

/// The network itself, and its last address, are nobody's; the first is the interface's in many
/// set-ups.
constexpr std::uint32_t kFirst = 2;
/// More names than this need more memory than any use of them is worth.
constexpr std::uint32_t kMostNames = 1U << 20;

std::uint32_t room_of(const Prefix& prefix) {
  const unsigned bits = prefix.address.is_v4() ? 32 : 128;
  const unsigned host = bits - prefix.length;
  const std::uint64_t all = host >= 32 ? std::uint64_t{1} << 32 : std::uint64_t{1} << host;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(all - kFirst - 1, kMostNames));
}

/// The last 32 bits: a pool ends before it needs more.
std::uint32_t low_of(const IpAddr& address) {
  std::uint32_t low = 0;
  for (const std::uint8_t byte : address.bytes().last(4)) low = low << 8 | byte;
  return low;
}

IpAddr nth(const IpAddr& base, std::uint32_t number) {
  std::array<std::byte, 16> bytes{};
  std::ranges::copy(std::as_bytes(base.bytes()), bytes.begin());
  const std::uint32_t low = low_of(base) + kFirst + number;
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[base.size() - 1 - i] = static_cast<std::byte>(low >> (8 * i) & 0xff);
  }
  return IpAddr::from_wire(std::span(bytes).first(base.size()));
}

std::string line_of(std::uint32_t number, const std::string& name) {
  return std::to_string(number) + " " + name + "\n";
}

}  // namespace

FakePool::FakePool(std::optional<Prefix> v4, std::optional<Prefix> v6) : v4_(v4), v6_(v6) {
  capacity_ = std::min(v4_ ? room_of(*v4_) : kMostNames, v6_ ? room_of(*v6_) : kMostNames);
}

Result<> FakePool::open(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::uint32_t number = 0;
    const auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), number);
    // A line that a crash has cut short, or that somebody else has written, tells nothing.
    if (failed != std::errc() || *end != ' ' || number >= capacity_) continue;
    assign(number, std::string(end + 1));
    next_ = number + 1 < capacity_ ? number + 1 : 0;
  }
  file.close();  // Windows replaces no file that somebody reads
  return keep_in(path);
}

Result<> FakePool::keep_in(const std::string& path) {
  path_ = path;
  journal_.reset();
  if (path.empty()) return {};
  return compact();
}

Result<> FakePool::compact() {
  // In the order in which numbers were given, so that the last line tells where to go on.
  std::string lines;
  lines_ = 0;
  const auto used = static_cast<std::uint32_t>(names_.size());
  for (std::uint32_t i = 0; i < used; ++i) {
    const std::uint32_t number = (next_ + i) % used;
    if (names_[number].empty()) continue;
    lines += line_of(number, names_[number]);
    ++lines_;
  }
  journal_.reset();
  if (auto written = replace_file(path_, lines); !written) return written;
  auto journal = AppendedFile::open(path_);
  if (!journal) return journal.error();
  journal_ = std::move(*journal);
  return {};
}

void FakePool::assign(std::uint32_t number, const std::string& name) {
  if (number >= names_.size()) names_.resize(number + 1);
  if (const auto known = numbers_.find(name); known != numbers_.end()) {
    names_[known->second].clear();
  }
  if (!names_[number].empty()) numbers_.erase(names_[number]);
  names_[number] = name;
  numbers_[name] = number;
}

std::uint32_t FakePool::number_of(const std::string& name) {
  if (const auto known = numbers_.find(name); known != numbers_.end()) return known->second;
  const std::uint32_t number = next_;
  next_ = number + 1 < capacity_ ? number + 1 : 0;
  assign(number, name);
  const std::string line = line_of(number, name);
  // A line that is not written is a name that is not known after a restart: no reason to fail.
  if (journal_ && !journal_->append(line)) journal_.reset();
  if (journal_ && ++lines_ > 2 * capacity_ && !compact()) journal_.reset();
  return number;
}

std::optional<IpAddr> FakePool::address_of(const std::string& name, Family family) {
  const auto& range = family == Family::v4 ? v4_ : v6_;
  if (!range || name.empty() || name.find('\n') != std::string::npos) return std::nullopt;
  return nth(interval_of(*range).first, number_of(name));
}

bool FakePool::contains(const IpAddr& address) const {
  const auto& range = address.is_v4() ? v4_ : v6_;
  return range && range->contains(address);
}

std::string FakePool::name_of(const IpAddr& address) const {
  const IpAddr base = interval_of(address.is_v4() ? *v4_ : *v6_).first;
  const auto high = address.size() - 4;
  if (!std::ranges::equal(address.bytes().first(high), base.bytes().first(high))) return "";
  const std::uint32_t place = low_of(address) - low_of(base);
  if (place < kFirst || place - kFirst >= names_.size()) return "";
  return names_[place - kFirst];
}

}  // namespace hairpin::dns
