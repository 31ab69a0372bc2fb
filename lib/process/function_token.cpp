// Functions by module and offset: valid in every process that has loaded the same build of that module, wherever.
#include <dlfcn.h>
#include <fmt/core.h>
#include <link.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "brood/process/detail/function_entry.hpp"
#include "brood/process/exit_status.hpp"
#include "system/build_id.hpp"

namespace brood::detail {
namespace {

struct module {
  std::uint64_t id;
  std::uintptr_t base;
  std::uintptr_t begin;
  std::uintptr_t end;
};

// FNV-1a: the ids only have to differ between the handful of modules of one program.
std::uint64_t hash(std::string_view bytes) noexcept {
  std::uint64_t result = 14695981039346656037u;
  for (const char byte : bytes) result = (result ^ static_cast<unsigned char>(byte)) * 1099511628211u;
  return result;
}

int count_module(dl_phdr_info*, std::size_t, void* count) noexcept {
  ++*static_cast<std::size_t*>(count);
  return 0;
}

/// Called from C, which no exception may cross: so there is room already. Not 0 if there is none.
int describe_module(dl_phdr_info* info, std::size_t, void* into) noexcept {
  auto& modules = *static_cast<std::vector<module>*>(into);
  if (modules.size() == modules.capacity()) return 1;
  module found{0, info->dlpi_addr, UINTPTR_MAX, 0};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const std::uintptr_t start = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      found.begin = std::min(found.begin, start);
      found.end = std::max(found.end, start + segment.p_memsz);
    }
  }
  const std::string_view build_id = sys::build_id_of(*info);
  // Without a build id the path stands in: fork children are safe, and a replaced binary is caught at decoding at best.
  found.id = hash(build_id.empty() ? std::string_view(info->dlpi_name) : build_id);
  modules.push_back(found);
  return 0;
}

std::vector<module> loaded_modules() {
  std::vector<module> result;
  do {
    std::size_t count = 0;
    dl_iterate_phdr(&count_module, &count);
    result.clear();
    result.reserve(count);
  } while (dl_iterate_phdr(&describe_module, &result) != 0);  // another thread has loaded one meanwhile
  return result;
}

const module* find_module(std::uint64_t id) {
  static std::vector<module> modules = loaded_modules();
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (const module& candidate : modules) {
      if (candidate.id == id) return &candidate;
    }
    modules = loaded_modules();  // a library may have been loaded since
  }
  return nullptr;
}

}  // namespace

function_token token_of(function_entry entry) {
  const auto address = reinterpret_cast<std::uintptr_t>(entry);
  for (const module& candidate : loaded_modules()) {
    if (address >= candidate.begin && address < candidate.end)
      return {candidate.id, address - candidate.base};
  }
  throw unknown_function("brood: the function to spawn is in no loaded module");
}

[[gnu::hot]] function_entry entry_of(function_token token) {
  const module* found = find_module(token.module);
  if (found == nullptr) {
    throw unknown_function(fmt::format(
        "brood: the function to run is in module {:016x}, which this process has not loaded: parent and "
        "child are different builds, or a library was loaded after brood::init",
        token.module));
  }
  const std::uintptr_t address = found->base + token.offset;
  if (address < found->begin || address >= found->end) {
    throw unknown_function("brood: the function to run lies outside its module");
  }
  return reinterpret_cast<function_entry>(address);
}

}  // namespace brood::detail
