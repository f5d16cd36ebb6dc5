// The ways out as JSON.
#pragma once

#include <vector>

#include "config/reader.h"

namespace hairpin::config {

void read(const Reader& reader, Outbound& out);

void list_outbound_fields(std::vector<FieldInfo>& all);

/// Reads the files of certificates that outbounds name. What is wrong goes to `problems`.
void load_certificates(Config& config, Problems& problems);

}  // namespace hairpin::config
