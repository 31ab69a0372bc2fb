// key_file: an authkey out of a file.
#pragma once

#include <filesystem>

#include "brood/channel/authkey.hpp"
#include "brood/export.hpp"

namespace brood {

/// A key out of a file that nobody but its owner can read (mode 0600 or less); a newline at its end does not count. Throws
/// `std::system_error`, and `std::invalid_argument` for one that others can read, or an empty one.
BROOD_API authkey key_from_file(const std::filesystem::path& file);

}  // namespace brood
