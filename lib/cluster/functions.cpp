#include "cluster/functions.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace brood::cluster::detail {
namespace {

constexpr char text[] =
#include "cluster/functions_text.inc"
    ;

const std::string& library_name() {
  static const std::string name = [] {
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a
    for (const char c : std::string_view(text))
      hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return fmt::format("brood_{:016x}", hash);
  }();
  return name;
}

}  // namespace

const std::string& function_library() {
  static const std::string library = [] {
    std::string result = text;
    for (std::size_t at = result.find('@'); at != std::string::npos; at = result.find('@', at)) {
      result.replace(at, 1, library_name());
    }
    return result;
  }();
  return library;
}

std::string function_name(std::string_view name) { return fmt::format("{}_{}", library_name(), name); }

}  // namespace brood::cluster::detail
