#include "traces/frame_name.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/core.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace brood::detail {
namespace {

std::string name_of(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free);
  return status == 0 ? name.get() : symbol;
}

}  // namespace

std::string frame_line(const void* call) {
  Dl_info found{};
  if (dladdr(call, &found) == 0 || found.dli_fname == nullptr) return fmt::format("{}\n", call);
  const auto address = reinterpret_cast<std::uintptr_t>(call);
  const std::string place =
      fmt::format("{}+{:#x}", found.dli_fname, address - reinterpret_cast<std::uintptr_t>(found.dli_fbase));
  if (found.dli_sname == nullptr) return place + "\n";
  return fmt::format("{}+{:#x} ({})\n", name_of(found.dli_sname),
                     address - reinterpret_cast<std::uintptr_t>(found.dli_saddr), place);
}

}  // namespace brood::detail
