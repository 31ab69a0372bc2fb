// What of the program a host may run: functions that some pool of a cluster is asked for. Nothing else can be called,
// whatever comes from the engine.
//
// Naming one in `apply<f>`, `map<f>` or the like anywhere in a program makes an object with static storage, whose
// constructor enters it here before `main`: so every process of that build knows it, the hosts too.
#pragma once

#include <cstdint>
#include <typeinfo>

#include "brood/export.hpp"
#include "brood/process/detail/function_entry.hpp"

namespace brood::cluster::detail {

struct BROOD_API function_node {
  function_node(const char* full_name, brood::detail::function_entry entry) noexcept;

  /// Throws `unknown_function` if there is none, or if two have that key.
  static const function_node& find(std::uint64_t key);
  static const function_node* first() noexcept;

  const char* name;
  brood::detail::function_entry run;
  std::uint64_t key;
  const function_node* next;
};

template <auto F>
struct function_tag {};

template <auto F>
struct registered_function {
  static inline const function_node node{typeid(function_tag<F>).name(),
                                         &brood::detail::child_function<F>::run};
  static std::uint64_t key() noexcept { return node.key; }
};

}  // namespace brood::cluster::detail
