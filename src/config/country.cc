// The database is a binary trie over the bits of an address, IPv4 below ::/96. Several branches may
// lead to one and the same subtree (IPv4 is there once more as 2002::/16, say): each node is
// visited once, so that a trie that is none, in a damaged file, ends too.
#include "config/country.h"

#include <maxminddb.h>

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_map>

#include "base/file.h"
#include "config/rule_set.h"

namespace hairpin::config {

namespace {

/// Nodes, as the format counts them; more than any database has.
constexpr std::uint32_t kMaxNodes = 50'000'000;

class Search {
 public:
  Search(MMDB_s& database, const std::vector<std::string>& codes)
      : database_(database), codes_(codes), seen_(database.metadata.node_count) {}

  Result<std::vector<Interval>> run() {
    std::array<std::uint8_t, 16> bits{};
    Result<> done;
    if (database_.metadata.ip_version == 6) {
      // IPv4 first: it shall be found where it belongs.
      const MMDB_ipv4_start_node_s& v4 = database_.ipv4_start_node;
      if (v4.netmask == 96 && v4.node_value < seen_.size()) done = walk(v4.node_value, 96, bits);
      if (done) done = walk(0, 0, bits);
    } else {
      done = walk(0, 96, bits);
    }
    if (!done) return done.error();
    return merged(std::move(found_));
  }

 private:
  Result<> walk(std::uint32_t number, unsigned depth, std::array<std::uint8_t, 16>& bits) {
    if (seen_[number]) return {};
    seen_[number] = true;
    MMDB_search_node_s node{};
    if (MMDB_read_node(&database_, number, &node) != MMDB_SUCCESS) return damaged();
    const std::uint8_t bit = static_cast<std::uint8_t>(0x80U >> (depth % 8));
    for (const bool right : {false, true}) {
      if (right) bits[depth / 8] |= bit;
      auto done = branch(right ? node.right_record : node.left_record,
                         right ? node.right_record_type : node.left_record_type,
                         right ? node.right_record_entry : node.left_record_entry, depth + 1, bits);
      if (!done) return done;
    }
    bits[depth / 8] = static_cast<std::uint8_t>(bits[depth / 8] & ~bit);
    return {};
  }

  Result<> branch(std::uint64_t record, std::uint8_t type, const MMDB_entry_s& entry,
                  unsigned depth, std::array<std::uint8_t, 16>& bits) {
    switch (type) {
      case MMDB_RECORD_TYPE_SEARCH_NODE:
        if (depth >= 128 || record >= seen_.size()) return damaged();
        return walk(static_cast<std::uint32_t>(record), depth, bits);
      case MMDB_RECORD_TYPE_EMPTY:
        return {};
      case MMDB_RECORD_TYPE_DATA:
        break;
      default:
        return damaged();
    }
    const auto wanted = is_wanted(entry);
    if (!wanted) return wanted.error();
    if (*wanted) found_.push_back(interval_of(prefix(bits, depth)));
    return {};
  }

  /// Entries are shared by many networks.
  Result<bool> is_wanted(const MMDB_entry_s& entry) {
    const auto known = entries_.find(entry.offset);
    if (known != entries_.end()) return known->second;
    MMDB_entry_s copy = entry;
    MMDB_entry_data_s data{};
    const int status = MMDB_get_value(&copy, &data, "country", "iso_code", nullptr);
    bool wanted = false;
    if (status == MMDB_SUCCESS && data.has_data && data.type == MMDB_DATA_TYPE_UTF8_STRING) {
      wanted = std::ranges::find(codes_, std::string_view(data.utf8_string, data.data_size)) !=
               codes_.end();
    } else if (status != MMDB_SUCCESS && status != MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR) {
      return damaged();
    }
    entries_.emplace(entry.offset, wanted);
    return wanted;
  }

  static Prefix prefix(const std::array<std::uint8_t, 16>& bits, unsigned depth) {
    const auto bytes = std::as_bytes(std::span(bits));
    const bool v4 = depth >= 96 && std::all_of(bits.begin(), bits.begin() + 12,
                                               [](std::uint8_t byte) { return byte == 0; });
    if (v4) return {IpAddr::from_wire(bytes.subspan(12)), depth - 96};
    return {IpAddr::from_wire(bytes), depth};
  }

  static Error damaged() { return Error{"the database is damaged"}; }

  MMDB_s& database_;
  const std::vector<std::string>& codes_;
  std::vector<bool> seen_;
  std::unordered_map<std::uint32_t, bool> entries_;
  std::vector<Interval> found_;
};

}  // namespace

Result<std::vector<Interval>> read_countries_of(const std::string& path,
                                                const std::vector<std::string>& codes) {
  std::string bytes;
  if (auto read = read_file(path, bytes); !read) return read.error();
  const auto file = HeldFile::hold(path, bytes);
  if (!file) return file.error();
  MMDB_s database{};
  const int status = MMDB_open(file->name().c_str(), MMDB_MODE_MMAP, &database);
  if (status != MMDB_SUCCESS) return Error{"read " + path + ": " + MMDB_strerror(status)};
  const std::unique_ptr<MMDB_s, decltype(&MMDB_close)> owner(&database, &MMDB_close);
  if (database.metadata.node_count == 0 || database.metadata.node_count > kMaxNodes) {
    return Error{"read " + path + ": the database is damaged"};
  }
  auto found = Search(database, codes).run();
  if (!found) return std::move(found.error()).in("read " + path);
  if (found->empty())
    return Error{"read " + path + ": it has none of the countries that are named"};
  return found;
}

}  // namespace hairpin::config
