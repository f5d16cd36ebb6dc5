// GetAdaptersAddresses: what Windows says about all its interfaces.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::platform {

class Adapters {
 public:
  /// `flags`: GAA_FLAG_…, what is not asked for.
  static Result<Adapters> list(ULONG flags);

  const IP_ADAPTER_ADDRESSES* first() const {
    return reinterpret_cast<const IP_ADAPTER_ADDRESSES*>(memory_.data());
  }

 private:
  explicit Adapters(std::vector<std::uint64_t> memory) : memory_(std::move(memory)) {}
  std::vector<std::uint64_t> memory_;  ///< Aligned as its content wants it.
};

IpAddr address_of(const SOCKET_ADDRESS& from);
std::string narrow(const wchar_t* text);  ///< UTF-8
std::wstring widen(const std::string& text);

}  // namespace hairpin::platform
