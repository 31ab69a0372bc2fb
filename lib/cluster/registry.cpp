#include "brood/cluster/detail/registry.hpp"

#include <fmt/core.h>

#include <string_view>

#include "brood/process/exit_status.hpp"

namespace brood::cluster::detail {
namespace {

constinit const function_node* all = nullptr;

}  // namespace

function_node::function_node(const char* full_name, brood::detail::function_entry entry) noexcept
    : name(full_name), run(entry), key(14695981039346656037u), next(std::exchange(all, this)) {
  for (const char c : std::string_view(full_name))
    key = (key ^ static_cast<unsigned char>(c)) * 1099511628211u;  // FNV-1a
}

const function_node* function_node::first() noexcept { return all; }

const function_node& function_node::find(std::uint64_t key) {
  const function_node* found = nullptr;
  for (const function_node* each = all; each != nullptr; each = each->next) {
    if (each->key != key) continue;
    if (found != nullptr && found->run != each->run) {
      throw unknown_function(
          fmt::format("brood::cluster: two functions of the program are called {}", each->name));
    }
    found = each;
  }
  if (found == nullptr)
    throw unknown_function("brood::cluster: no function of the program has the name that was asked for");
  return *found;
}

}  // namespace brood::cluster::detail
