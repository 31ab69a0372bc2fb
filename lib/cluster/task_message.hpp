// What travels to a host and back, within seals.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "brood/arena/codec.hpp"
#include "brood/cluster/detail/task_table.hpp"

namespace brood::cluster::detail {

struct task_message {
  std::uint64_t function = 0;
  std::int64_t deadline = 0;  // ns, 0 for none
  std::uint32_t retries = 0;
  std::vector<bytes> arguments;  // of each item
};

/// What a worker is given: one item.
struct work_item {
  std::uint64_t function = 0;
  bytes arguments;
};

/// The queue of the tasks of one build.
std::string task_queue(const std::string& build);

std::string write_task(const task_message& message);
/// Throws `decode_error`.
task_message read_task(std::string_view text);
std::string write_results(const std::vector<item_result>& results);
/// Throws `decode_error`.
std::vector<item_result> read_results(std::string_view text);

/// An exception of this host, as a result; `host` is where.
item_result result_of(const std::exception_ptr& why, const std::string& host);

}  // namespace brood::cluster::detail
