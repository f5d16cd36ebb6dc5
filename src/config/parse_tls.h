// The object "tls".
#pragma once

#include "config/reader.h"
#include "config/tls.h"

namespace hairpin::config {

void read(const Reader& reader, Tls& out);

/// Reads the file of trusted certificates, if one is named. `where` is the path of the object.
void load_certificates(Tls& tls, const std::string& where, Problems& problems);

std::vector<Field<Tls>> tls_fields();

}  // namespace hairpin::config
