// The library of functions.lua, under a name that says which text it is: programs of several versions share an engine.
#pragma once

#include <string>
#include <string_view>

namespace brood::cluster::detail {

/// What FUNCTION LOAD takes.
const std::string& function_library();
/// The full name of one function.
std::string function_name(std::string_view name);

}  // namespace brood::cluster::detail
