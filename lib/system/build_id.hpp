// build_id: what tells two builds of a module apart, as the linker wrote it.
#pragma once

#include <link.h>

#include <string_view>

#include "brood/export.hpp"

namespace brood::sys {

/// The bytes of the module's build id; empty if it was linked without one. They are there while the module is loaded.
BROOD_API std::string_view build_id_of(const dl_phdr_info& module) noexcept;

}  // namespace brood::sys
