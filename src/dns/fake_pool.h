// Addresses that stand for names.
//
// How it works
//
// Names are numbered in the order in which they are first asked for, round a ring: the address of a
// name is its number, counted from the beginning of the range, in both families alike. When the
// ring is full the oldest number is taken from its name. So one table tells both ways, and a file
// with a line for each new number, the later one winning, brings it back after a restart or a
// crash.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/file.h"
#include "base/result.h"

namespace hairpin::dns {

/// For one thread.
class FakePool {
 public:
  /// At least one range. What `path` says of them is read; empty: nothing is kept. A file that
  /// cannot be read or written is an error, and the pool works without it.
  FakePool(std::optional<Prefix> v4, std::optional<Prefix> v6);
  Result<> open(const std::string& path);
  /// From now on in this file, whatever is in it; empty: nowhere.
  Result<> keep_in(const std::string& path);

  /// The address of `name`; empty: there is no range of that family.
  std::optional<IpAddr> address_of(const std::string& name, Family family);
  bool contains(const IpAddr& address) const;
  /// Empty when it stands for none. Requires: `contains`.
  std::string name_of(const IpAddr& address) const;

  std::uint32_t size() const { return static_cast<std::uint32_t>(names_.size()); }

 private:
  std::uint32_t number_of(const std::string& name);
  void assign(std::uint32_t number, const std::string& name);
  Result<> compact();

  std::optional<Prefix> v4_;
  std::optional<Prefix> v6_;
  std::vector<std::string> names_;  ///< By number; grows up to the capacity. Empty: not in use.
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::uint32_t capacity_ = 0;
  std::uint32_t next_ = 0;
  std::string path_;
  std::optional<AppendedFile> journal_;
  std::uint32_t lines_ = 0;  ///< In it.
};

}  // namespace hairpin::dns
