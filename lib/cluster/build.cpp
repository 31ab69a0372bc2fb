#include "cluster/build.hpp"

#include <fmt/format.h>
#include <link.h>
#include <sys/utsname.h>

#include <set>

#include "brood/cluster/detail/registry.hpp"
#include "brood/coroutine/error.hpp"
#include "cluster/seal.hpp"
#include "system/build_id.hpp"

namespace brood::cluster::detail {
namespace {

int add_build(dl_phdr_info* info, std::size_t, void* into) {
  const auto holds = [&](std::uintptr_t address) {
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& segment = info->dlpi_phdr[i];
      const std::uintptr_t start = info->dlpi_addr + segment.p_vaddr;
      if (segment.p_type == PT_LOAD && address >= start && address - start < segment.p_memsz) return true;
    }
    return false;
  };
  bool asked_for = false;
  for (const function_node* each = function_node::first(); each != nullptr; each = each->next) {
    asked_for = asked_for || holds(reinterpret_cast<std::uintptr_t>(each->run));
  }
  if (!asked_for) return 0;
  static_cast<std::set<std::string>*>(into)->emplace(sys::build_id_of(*info));
  return 0;
}

}  // namespace

std::string build_of_this_program() {
  std::set<std::string> ids;
  dl_iterate_phdr(&add_build, &ids);
  if (ids.contains("")) {
    throw error(
        "brood::cluster: this program has no build id, so hosts of another build could not be told apart: "
        "link it with "
        "-Wl,--build-id");
  }
  std::string all;
  for (const std::string& id : ids) all += to_hex(id);
  return all.empty() ? "none" : all;
}

std::string host_name() {
  utsname names{};
  return uname(&names) == 0 ? names.nodename : "?";
}

}  // namespace brood::cluster::detail
