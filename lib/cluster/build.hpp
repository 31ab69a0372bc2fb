// build: which program this is, so that only hosts of the same one see its tasks.
#pragma once

#include <string>

namespace brood::cluster::detail {

/// Of the build ids of all modules with registered functions, in hexadecimal. Throws `error` if one has none (link with
/// -Wl,--build-id): then nobody could tell two builds apart.
std::string build_of_this_program();
/// The name of this machine.
std::string host_name();

}  // namespace brood::cluster::detail
