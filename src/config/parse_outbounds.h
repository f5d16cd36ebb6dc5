// The ways out as JSON.
#pragma once

#include <vector>

#include "config/reader.h"

namespace hairpin::config {

void read(const Reader& reader, Outbound& out);

/// What concerns several of them: tags that nobody has, and circles.
void check_outbounds(Problems& problems, const Config& config, const std::set<std::string>& tags);

void list_outbound_fields(std::vector<FieldInfo>& all);

/// Reads the files of certificates that outbounds name. What is wrong goes to `problems`.
void load_certificates(Config& config, Problems& problems);

}  // namespace hairpin::config
