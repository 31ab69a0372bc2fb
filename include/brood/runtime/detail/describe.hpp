// Text for an exception, for messages to people.
#pragma once

#include <exception>
#include <string>
#include <typeinfo>

#include "brood/export.hpp"

namespace brood::detail {

/// A type's name as it is written in C++.
BROOD_API std::string type_name(const std::type_info& type);
/// "std::runtime_error: text", or the type alone for what is not a `std::exception`.
BROOD_API std::string describe(const std::exception_ptr& failure);

}  // namespace brood::detail
